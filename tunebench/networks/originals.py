"""Trained originals: by recipe, cached under a content key, trained once (docs/methods.md, section 1)."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn
from tqdm import tqdm

from tunebench.cache import cache_root, cached_folder
from tunebench.datasets import Dataset, Samples, holdout
from tunebench.errors import StoreError, UsageError
from tunebench.naming import seed_of
from tunebench.networks.activations import activations
from tunebench.networks.architecture import architecture_of, parent_of
from tunebench.networks.compressed import check_rebuilt, compress, loaded, shapes_of
from tunebench.networks.integrity import data_fault, header, original_fault
from tunebench.networks.models import ModelSpec
from tunebench.networks.probe import built
from tunebench.networks.recipes import Recipe, run_recipe
from tunebench.networks.sites import MAX_HIDDEN

Protocol = Literal["holdout", "paper", "own"]
"""Where validation samples come from: a share of train; the test split, as in the paper; or the test split, since the
network is trained already and its owner has no others to choose on.
"""
RECIPE_VERSION = 1
"""Raise it when training changes: it is part of every key."""


@dataclass(frozen=True)
class OriginalKey:
    """Everything that determines a trained original; never a tuner."""

    data: str
    """Checksum of the data set."""
    dataset: str
    model: str
    architecture: str
    recipe: Recipe
    protocol: Protocol
    seed: int
    max_hidden: int = MAX_HIDDEN
    """Hidden units in its tables at most, see `tunebench.networks.sites`."""

    @property
    def facts(self) -> dict[str, Any]:
        """All fields as JSON values; those that came later are left out at their defaults, so that keys stay."""
        found = asdict(self)
        if self.max_hidden == MAX_HIDDEN:
            del found["max_hidden"]
        return found | {"recipe": self.recipe.facts}

    @property
    def folder(self) -> Path:
        """Where the original lies once it is trained."""
        text = json.dumps({"version": RECIPE_VERSION, **self.facts}, sort_keys=True)
        return cache_root() / "originals" / hashlib.sha256(text.encode()).hexdigest()[:24]


def original_key(
    dataset: Dataset,
    model: ModelSpec,
    recipe: Recipe,
    protocol: Protocol,
    seed: int,
    architecture: str | None = None,
) -> OriginalKey:
    """The key of one original; None for the ``architecture``: the network is built here and now to see it."""
    if architecture is None:
        architecture = architecture_of(model, built(model, dataset.shape, dataset.classes))
    return OriginalKey(dataset.checksum, dataset.name, model.name, architecture, recipe, protocol, seed)


def materialise(dataset: Dataset) -> Path:
    """Normalised train and test tensors as safetensors in the cache, apart from each other; returns the folder.

    What is damaged there is written again.
    """

    def build(folder: Path) -> None:
        for split, samples in (("train", dataset.train()), ("test", dataset.test())):
            tensors = {"x": samples.x.contiguous(), "y": samples.y}
            if samples.valid_from is not None:
                tensors["valid_from"] = torch.tensor(samples.valid_from)
            save_file(tensors, folder / f"{split}.safetensors")

    folder = data_folder(dataset.checksum)
    discard(folder, lambda: data_fault(folder))
    return cached_folder(folder, build)


def data_folder(checksum: str) -> Path:
    """Where `materialise` puts a data set with this checksum."""
    return cache_root() / "data" / checksum[:24]


def load_split(checksum: str, split: Literal["train", "test"]) -> Samples:
    """Memory-mapped samples of a materialised data set."""
    tensors = load_file(data_folder(checksum) / f"{split}.safetensors")
    return Samples(tensors["x"], tensors["y"], int(tensors["valid_from"]) if "valid_from" in tensors else None)


def fault_of(key: OriginalKey) -> str | None:
    """What is wrong with the cached original of ``key``, or None; that it is not there is a fault too."""
    if not key.folder.is_dir():
        return "it is not there"
    data = data_folder(key.data)
    if data_fault(data):  # of the data, which `materialise` mends; the original may be as good as ever
        return None
    train, test = (header(data / f"{split}.safetensors")["y"][1][0] for split in ("train", "test"))
    return original_fault(key.folder, train, None if key.protocol == "holdout" else test)


def discard(folder: Path, fault: Callable[[], str | None]) -> None:
    """Remove a folder of the cache that has a fault, unless somebody else has mended it meanwhile."""
    if folder.is_dir() and fault():
        with FileLock(folder.with_name(folder.name + ".lock")):
            if folder.is_dir() and fault():
                shutil.rmtree(folder)


def ensure_original(
    key: OriginalKey, spec: ModelSpec, *, line: int | None = None, device: str = "cpu"
) -> dict[str, Any]:
    """Train the original of ``key`` unless it is cached, whole; returns its record (see `train_original`).

    ``line`` is the terminal line, counted from the current one, for a progress bar over the steps; None for no bar.
    ``device`` is where it is trained: no part of the key, as no machine is.
    """
    discard(key.folder, lambda: fault_of(key))
    cached_folder(key.folder, lambda scratch: train_original(key, spec, scratch, line, torch.device(device)))
    return original_record(key)


def original_record(key: OriginalKey) -> dict[str, Any]:
    """The record of a cached original (see `train_original`); StoreError when it is not there."""
    try:
        record: dict[str, Any] = json.loads((key.folder / "original.json").read_text())
    except (OSError, ValueError) as exc:
        raise StoreError(f"the original in {key.folder} is gone, or was never whole; run again") from exc
    return record


def train_original(key: OriginalKey, spec: ModelSpec, folder: Path, line: int | None, device: torch.device) -> None:
    """Train one original and write ``model.safetensors``, ``activations.safetensors`` and ``original.json``.

    The record holds the validation counts per class: ``valid_hits`` and ``valid_totals``, each a list of C integers.
    """
    started = time.perf_counter()
    data = load_split(key.data, "train")
    if key.protocol != "holdout":
        train_rows, seen = torch.arange(len(data.y)), load_split(key.data, "test")
        x_valid, y_valid, valid_rows = seen.x, seen.y, torch.arange(0)
    else:
        train_rows, valid_rows = split_of(data, key.seed)
        x_valid, y_valid = data.x[valid_rows], data.y[valid_rows]
    classes = int(data.y.max()) + 1
    samples = Samples(data.x[train_rows].to(device), data.y[train_rows].to(device))
    make = trained if spec.made is None else made_from_parent
    model, facts = make(key, spec, samples, classes, line)
    train, valid = (activations(model, x.to(device), max_hidden=key.max_hidden) for x in (samples.x, x_valid))
    right = valid.logits.argmax(1).cpu() == y_valid
    record = {
        **facts,
        "train_accuracy": float((train.logits.argmax(1) == samples.y).double().mean()),
        "valid_hits": torch.bincount(y_valid[right], minlength=classes).tolist(),
        "valid_totals": torch.bincount(y_valid, minlength=classes).tolist(),
        "seconds": time.perf_counter() - started,
        "torch": torch.__version__,
        "key": key.facts,
    }
    save_model(model, str(folder / "model.safetensors"))
    if spec.made is not None:
        check_rebuilt(spec, facts["lineage"], folder / "model.safetensors", model, samples.x[:2])
    tensors = {
        "train_rows": train_rows,
        "valid_rows": valid_rows,
        "hidden_train": train.hidden,
        "hidden_valid": valid.hidden,
        "logits_train": train.logits,
        "logits_valid": valid.logits,
        "layer_of": train.layer_of,
    }
    save_file({name: t.cpu().contiguous() for name, t in tensors.items()}, folder / "activations.safetensors")
    (folder / "original.json").write_text(json.dumps(record, indent=1))


def trained(
    key: OriginalKey, spec: ModelSpec, samples: Samples, classes: int, line: int | None
) -> tuple[nn.Module, dict[str, Any]]:
    """A network trained by its recipe, and what its record says of that.

    ``steps`` of the optimiser, and ``cpu_seconds``: the processor time that they took.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("initialisation", key.seed))
        model = built(spec, tuple(samples.x.shape[1:]), classes).to(samples.x.device)
    label, device = f"{key.dataset} {key.model} seed {key.seed}", samples.x.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed_of("noise", key.seed))  # of dropout and the like

        def watched(batches: Iterable[Any], total: int, part: str) -> Iterable[Any]:
            return bar(batches, total, label + part, line)

        started = time.process_time()
        steps = run_recipe(model, samples.x, samples.y, key.recipe, key.seed, watched)
        return model, {"steps": steps, "cpu_seconds": time.process_time() - started}


def made_from_parent(
    key: OriginalKey, spec: ModelSpec, samples: Samples, classes: int, line: int | None
) -> tuple[nn.Module, dict[str, Any]]:
    """A network compressed from its parent, and what its record says of that.

    It is compressed on the CPU, where kernels for integers are, and so with the same result on every machine; its
    parent is trained, and it is evaluated, where the run is. ``notes`` are told to the user by every run, ``lineage``
    holds the shapes of what was made on the way, for `load_original`, and ``cpu_seconds`` are of the last step alone.
    """
    assert spec.made is not None
    origin, parent = parent_key(key, spec), spec.made.parent
    record = ensure_original(origin, parent, line=line, device=str(samples.x.device))
    before, _ = load_original(origin, parent)
    lineage = [*record.get("lineage", []), *([shapes_of(before.state_dict())] if parent.made else [])]
    seed, here = seed_of("compression", key.model, key.seed), Samples(samples.x.cpu(), samples.y.cpu())
    started = time.process_time()
    model, notes = compress(spec.made, before, here, classes, seed)
    facts = {"steps": 0, "cpu_seconds": time.process_time() - started, "notes": notes, "lineage": lineage}
    return model.to(samples.x.device), facts


def parent_key(key: OriginalKey, spec: ModelSpec) -> OriginalKey:
    """The key of the original that the one of ``key`` is made from."""
    assert spec.made is not None
    return replace(key, model=spec.made.parent.name, architecture=parent_of(key.architecture))


def split_of(data: Samples, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to train on and rows of validation: the data set's own split, or held out by ``seed`` where it has none."""
    if data.valid_from is None:
        return holdout(data.y, seed)
    return torch.arange(data.valid_from), torch.arange(data.valid_from, len(data.y))


def bar(batches: Iterable[Any], total: int, label: str, line: int | None) -> Iterable[Any]:
    """``batches`` behind a progress bar on terminal line ``line``, or bare for None."""
    if line is None:
        return batches
    return tqdm(batches, total=total, desc=label, unit="step", leave=False, mininterval=0.5, position=line)


def load_original(key: OriginalKey, spec: ModelSpec) -> tuple[nn.Module, dict[str, Tensor]]:
    """The trained network in eval mode and its memory-mapped tables (see `train_original`).

    StoreError when what the cache holds is damaged.
    """
    fault = fault_of(key) or data_fault(data_folder(key.data))
    if fault:
        raise StoreError(f"the original in {key.folder} cannot be used: {fault}; run again, and it is made anew")
    data = load_split(key.data, "train")
    shape = tuple(data.x.shape[1:])
    with torch.random.fork_rng(devices=[]):
        model = built(spec, shape, int(data.y.max()) + 1)
    if (spec.code or spec.made) and architecture_of(spec, model) != key.architecture:
        raise UsageError(f"the code of network {key.model!r} is not what the run began with; use that, or run again")
    before = original_record(key)["lineage"] if spec.made else []
    model = loaded(spec, model, before, key.folder / "model.safetensors", shape)
    return model, load_file(key.folder / "activations.safetensors")
