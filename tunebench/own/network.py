"""A network with the weights that it comes with: never trained over, and hashed into every key."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tunebench.errors import UsageError
from tunebench.naming import cut, printable
from tunebench.networks.catalog import PLAIN, weights_of
from tunebench.networks.models import find_model
from tunebench.networks.probe import built, check_classifier
from tunebench.networks.recipes import Recipe
from tunebench.networks.spec import ModelSpec
from tunebench.own.door import require_regular

LEARNING_RATE = 0.01
"""What fine-tuning searches multiples of, since nobody tells how the network was trained."""
WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep a state dict beside other things."""

FEW = 2
"""Classes of a network that is built to be compared with a file."""


@dataclass(frozen=True)
class OwnNetwork:
    """A network as its owner trained it."""

    spec: ModelSpec
    """Builds it with its weights."""
    recipe: Recipe
    """That of an original that is used as it is."""


def own_network(name: str, weights: Path | None, shape: tuple[int, ...], classes: int) -> OwnNetwork:
    """The network ``name`` (FILE.py:NAME or torchvision:NAME) with its weights, for inputs of ``shape``.

    UsageError for a file that cannot be read, for weights of another architecture, and for a network that comes
    without any.
    """
    spec = spec_of(name)
    if weights is None:
        require_weights(spec, name, shape, classes)
    else:
        spec = replace(spec, build=with_weights(spec, read_weights(weights), weights))
    spec = replace(spec, name=short(spec.name))
    model = built(spec, shape, classes)
    return OwnNetwork(spec, Recipe("given", LEARNING_RATE, steps=0, weights=weights_of(model)))


def spec_of(name: str) -> ModelSpec:
    """The network called ``name``; one of torchvision's as torchvision itself builds it."""
    return find_model(f"{name}{PLAIN}" if name.startswith("torchvision:") and not name.endswith(PLAIN) else name)


def outputs_of(name: str, weights: Path, shape: tuple[int, ...]) -> int:
    """How many outputs the network ``name`` has for inputs of ``shape`` with the state dict in ``weights``.

    Where the number of classes decides, it is the size in which the file differs from a network of `FEW` of them.
    UsageError for a file that cannot be read, and for what is no classifier.
    """
    spec, state = spec_of(name), unwrapped(read_weights(weights))
    try:
        model = spec.build(shape, FEW)
    except Exception:  # it may want another number: whoever builds it says what is wrong
        return FEW
    outputs = check_classifier(model, short(spec.name), shape)
    own = model.state_dict()
    sizes = {
        there
        for key in own.keys() & state.keys()
        for here, there in zip(own[key].shape, state[key].shape, strict=False)
        if here != there
    }
    return sizes.pop() if len(sizes) == 1 else outputs


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without the prefix of DataParallel."""
    return {key.removeprefix("module."): value for key, value in state.items()}


def short(name: str) -> str:
    """The name of a network without the folder of its file: what tables show."""
    path, colon, wanted = name.rpartition(":")
    return f"{Path(path).name}:{wanted}" if colon and path.endswith(".py") else name


def require_weights(spec: ModelSpec, name: str, shape: tuple[int, ...], classes: int) -> None:
    """UsageError when two builds give different weights: then they are only initialised, not trained."""
    with torch.random.fork_rng(devices=[]):
        first, second = built(spec, shape, classes), built(spec, shape, classes)
    if weights_of(first) != weights_of(second):
        raise UsageError(f"{name} comes with random weights; name the trained ones with --weights FILE.safetensors")


def with_weights(spec: ModelSpec, state: Mapping[str, Tensor], path: Path) -> Any:
    """A ``build`` whose network holds ``state``; UsageError, with the keys, when that is of another architecture."""

    def build(shape: tuple[int, ...], classes: int) -> nn.Module:
        model = spec.build(shape, classes)
        own = model.state_dict()
        found = unwrapped(state)
        faults = [f"it lacks {key}" for key in own if key not in found]
        faults += [f"{key} is not in the network" for key in found if key not in own]
        faults += [
            f"{key} is {tuple(found[key].shape)}, in the network {tuple(own[key].shape)}"
            for key in own
            if key in found and found[key].shape != own[key].shape
        ]
        if faults:
            more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
            text = printable("; ".join(cut(fault, 100) for fault in faults[:3]))
            raise UsageError(f"weights {path} are of another architecture than {short(spec.name)}: {text}{more}")
        model.load_state_dict(found)
        return model

    return build


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a safetensors file, or in a ``.pt`` or ``.pth`` file by torch's weights-only reader.

    UsageError for anything else. Nothing in either format can run code, or be larger than its file.
    """
    require_regular(path, f"weights {path}")
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise UsageError(f"weights {path}: give a state dict as .safetensors, .pt or .pth")
    if path.suffix != ".safetensors" and packed(path):
        raise UsageError(f"weights {path} are compressed, which torch.save never does; save them again")
    try:
        with warnings.catch_warnings():  # torch's words about files that are then refused
            warnings.simplefilter("ignore")
            found: Any = (
                load_file(path)
                if path.suffix == ".safetensors"
                else torch.load(path, map_location="cpu", weights_only=True)
            )
    except Exception as exc:
        hint = "save model.state_dict(), not the model" if path.suffix != ".safetensors" else "save it again"
        raise UsageError(f"weights {path} cannot be read as a state dict; {hint}") from exc
    for key in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not found:
        raise UsageError(f"weights {path} hold no state dict; save model.state_dict()")
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, Tensor) or not plain(value):
            raise UsageError(
                f"weights {path} hold {cut(repr(key), 80)}, which is no array of numbers of its own size; "
                "save model.state_dict()"
            )
    return dict(found)


def packed(path: Path) -> bool:
    """Whether a file is a zip archive with compressed members, which can unpack to more than any memory holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())
    except Exception:  # torch's older format, or nothing at all
        return False


def plain(value: Tensor) -> bool:
    """Whether a tensor is an array of real numbers that all stand in the file: one number can be said to be millions.

    A sparse, nested, quantised or complex tensor is none, nor is one on the meta device.
    """
    strided = value.layout == torch.strided and value.device.type == "cpu" and not value.is_nested
    if not strided or value.is_quantized or value.is_complex():
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def require_elsewhere(out: Path, weights: Path | None) -> None:
    """UsageError when what is written to ``out`` would replace the weights that are read."""
    if weights is not None and weights.name.startswith("tuned.") and weights.resolve().parent == out.resolve():
        raise UsageError(f"-o {out} would replace {weights}; choose another folder")
