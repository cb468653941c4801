"""The user's own samples: which part tuners fit on, which they are chosen and certified on, inputs as in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from tunebench.datasets import Dataset, Place, open_dataset
from tunebench.datasets.base import DatasetSource, Raw, Split, opened
from tunebench.datasets.images import FORMATS, files_below, images_by_class, is_image, opened_image, parts_of
from tunebench.datasets.splits import stratified
from tunebench.errors import DataError, UsageError
from tunebench.grid.targets import class_of
from tunebench.naming import said, unknown_name
from tunebench.source import PluginFile

SHARE, SEED = 0.5, 0
"""Where there is one part only: the share of its samples that tuners fit on, and what decides which."""
Transform = Callable[[Any], Tensor]
"""Maps a `PIL.Image.Image` to what the network takes, (*shape) floating point."""


@dataclass(frozen=True)
class Inputs:
    """How images become inputs: the owner's own transform, or a mean and a standard deviation per channel in [0, 1]."""

    transform: Transform | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.transform is not None and (self.mean or self.std):
            raise UsageError("--transform does all that --mean and --std do; give one or the other")
        if len(self.mean) != len(self.std):
            raise UsageError("--mean and --std go together, a number for every channel or one for all")
        if any(not value > 0 for value in self.std):
            raise UsageError("--std has to be above 0")


@dataclass(frozen=True)
class OwnData:
    """``dataset.train()`` is what tuners fit on, ``dataset.test()`` what they are chosen and certified on."""

    dataset: Dataset
    trained_on: bool
    """Whether the first part is a training part of its owner's, so that the network may be trained on."""
    note: str
    """What became of the parts, in a sentence."""
    paths: tuple[str, ...] = ()
    """Where the samples lie that tuners are chosen on; empty for a named data set."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, in the order of the network's outputs."""
        return self.dataset.class_names

    def target(self, wanted: str) -> int:
        """The class called ``wanted``, or with that number; UsageError with the nearest names."""
        found = class_of(wanted, self.names)
        if found is None:
            raise unknown_name("class", wanted, self.names)
        return found

    def typed(self, target: int) -> str:
        """What a suite has to say to mean this class, also one whose name is a keyword there."""
        number = str(target)
        return number if class_of(number, self.names) == target else self.names[target]


class Given(DatasetSource):
    """Two parts at hand, inputs ready for the network."""

    mean, std = 0.0, 1.0

    def __init__(self, name: str, parts: dict[Split, Raw], names: Sequence[str]) -> None:
        self.name, self.parts, self.class_names = name, parts, names

    def load(self, split: Split, place: Place) -> Raw:
        """See `DatasetSource.load`."""
        return self.parts[split]


def own_data(where: str, place: Place, inputs: Inputs) -> OwnData:
    """The samples at ``where``: a folder of images by class, or the name of a data set.

    A folder has train/ and val/ (valid/, test/), or one tree of classes, of which tuners get a share. DataError or
    UsageError, one line, for what cannot be used.
    """
    folder = Path(where.removeprefix("imagefolder:")).expanduser()
    if not folder.is_dir():
        return named_data(where, place, inputs)
    found = parts_of(folder)
    fit, choose = found.get("train"), found.get("valid", found.get("test"))
    if fit is not None and choose is not None:
        ours, held = images(fit, inputs), images(choose, inputs)
        unknown = sorted(set(held.names) - set(ours.names))
        if unknown:
            raise DataError(f"{choose / unknown[0]}: there is no class {unknown[0]!r} in {fit.name}/")
        y = np.array([ours.names.index(other) for other in held.names])[held.y]
        parts: dict[Split, Raw] = {"train": (ours.x, ours.y), "test": (held.x, y)}
        note = f"tuners fit on {len(ours.y):,} samples of {fit.name}/ and are chosen on {len(y):,} of {choose.name}/"
        paths = held.paths
    else:
        part = choose or fit or folder
        ours = images(part, inputs)
        parts, rows, note = halved(ours.x, ours.y, str(part))
        paths = [ours.paths[row] for row in rows]
    name = folder.resolve().name or "data"
    dataset = opened(name, Given(name, parts, ours.names), place)
    return OwnData(dataset, fit is not None and choose is not None, note, tuple(paths))


def named_data(name: str, place: Place, inputs: Inputs) -> OwnData:
    """A data set by its name, with its own normalisation unless ``inputs`` say another."""
    dataset = open_dataset(name, place)
    note = f"tuners fit on {dataset.train_size:,} samples of train, and are chosen on its test part"
    if inputs.transform is not None or inputs.mean:
        parts = {split: (prepared(dataset, split, inputs), dataset.numbered(split)) for split in ("train", "test")}
        dataset = opened(dataset.name, Given(dataset.name, parts, dataset.class_names), place)  # type: ignore[arg-type]
    return OwnData(dataset, True, note)


def halved(x: np.ndarray, y: np.ndarray, where: str) -> tuple[dict[Split, Raw], np.ndarray, str]:
    """One part as two, by class, the rows of the second, and a sentence that says so."""
    try:
        fit, choose = stratified(y, round(len(y) * (1 - SHARE)), SEED)
    except DataError as exc:
        raise DataError(f"{where}: {exc}") from exc
    note = f"one part only: tuners fit on {len(fit):,} of its samples and are chosen on the other {len(choose):,}"
    return {"train": (x[fit], y[fit]), "test": (x[choose], y[choose])}, choose, note


class Images(NamedTuple):
    """Inputs (N, C, H, W) float32, labels (N,), class names and the N paths of a folder of images."""

    x: np.ndarray
    y: np.ndarray
    names: list[str]
    paths: list[str]


def images(folder: Path, inputs: Inputs) -> Images:
    """The images of a folder with a folder for each class.

    Classes are numbered as by torchvision's ImageFolder, in the order of their names as texts, because that is what
    networks are trained with.
    """
    found = images_by_class(folder)
    paths = [path for files in found.values() for path in files]
    labels = [label for label, files in enumerate(found.values()) for _ in files]
    return Images(decoded(paths, folder, inputs), np.array(labels), list(found), [*map(str, paths)])


def unlabelled(folder: Path, inputs: Inputs) -> tuple[np.ndarray, list[str]]:
    """The images anywhere below a folder, (N, C, H, W) float32, and their paths inside it, sorted."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder of images")
    paths = sorted(filter(is_image, files_below(folder, ())))
    if not paths:
        raise DataError(f"{folder} holds no image ({', '.join(FORMATS)})")
    return decoded(paths, folder, inputs), [path.relative_to(folder).as_posix() for path in paths]


def decoded(paths: Sequence[Path], folder: Path, inputs: Inputs) -> np.ndarray:
    """Images as the network takes them, of the size of the first; grey where all are."""
    grey = inputs.transform is None and all(opened_image(path).mode in ("1", "L", "LA") for path in paths)
    size = opened_image(paths[0]).size
    rows = []
    for path in paths:
        try:
            image = opened_image(path).convert("L" if grey else "RGB")
            rows.append(one_input(image, size, inputs))
        except (OSError, ValueError, SyntaxError) as exc:
            raise DataError(f"{path} cannot be read as an image ({' '.join(str(exc).split())[:200]})") from exc
    shapes = {row.shape for row in rows}
    if len(shapes) > 1:
        raise DataError(f"{folder}: the transform gives inputs of {len(shapes)} shapes; let it resize or crop to one")
    return np.stack(rows)


def one_input(image: Any, size: tuple[int, int], inputs: Inputs) -> np.ndarray:
    """One image as the network takes it, float32; without a transform it is resized to ``size`` and in [0, 1]."""
    if inputs.transform is not None:
        try:
            made = inputs.transform(image)
        except Exception as exc:
            raise UsageError(f"--transform failed on an image: {said(exc)}") from exc
        if not isinstance(made, Tensor):
            raise UsageError(f"--transform returned {type(made).__name__}; it has to return a tensor, as ToTensor does")
        return made.detach().float().numpy()
    pixels = np.asarray(image if image.size == size else image.resize(size, 2), dtype=np.float32) / 255
    return standardised(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), inputs)


def standardised(x: np.ndarray, inputs: Inputs) -> np.ndarray:
    """Inputs (..., C, H, W) in [0, 1] minus the mean, by the standard deviation, of each channel."""
    if not inputs.mean:
        return x
    if len(inputs.mean) not in (1, x.shape[-3]):
        raise UsageError(f"--mean has {len(inputs.mean)} numbers, the images have {x.shape[-3]} channels")
    mean, std = (np.array(values, dtype=np.float32).reshape(-1, 1, 1) for values in (inputs.mean, inputs.std))
    return np.ascontiguousarray((x - mean) / std, dtype=np.float32)


def prepared(dataset: Dataset, split: Split, inputs: Inputs) -> np.ndarray:
    """A part of a named data set with other inputs than its own."""
    raw = dataset.raw(split)
    if inputs.transform is None:
        return standardised(raw.astype(np.float32) / (255 if raw.dtype == np.uint8 else 1), inputs)
    if raw.dtype != np.uint8 or raw.ndim != 4 or raw.shape[1] not in (1, 3):
        raise UsageError(f"--transform needs images; {dataset.name} has inputs {raw.shape[1:]} {raw.dtype}")
    from PIL import Image

    pictures = (Image.fromarray(row[0] if len(row) == 1 else row.transpose(1, 2, 0)) for row in raw)
    return np.stack([one_input(picture, picture.size, inputs) for picture in pictures])


def read_transform(name: str) -> Transform:
    """The transform ``FILE.py:NAME``; UsageError when there is none. What it makes is hashed with the data."""
    path, colon, wanted = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise UsageError(f"--transform {name}: write FILE.py:NAME")
    file = PluginFile.read(Path(path).expanduser(), f"--transform {name}:")
    try:
        module = file.load()
    except (Exception, SystemExit) as exc:
        raise UsageError(f"--transform {name}: {path} does not load: {said(exc)}") from exc
    found = getattr(module, wanted, None)
    if not callable(found):
        offered = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise unknown_name(f"transform in {path}", wanted, offered)
    loaded: Transform = found
    return loaded
