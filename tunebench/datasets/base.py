"""What a data set is: a source of raw arrays, and the same opened, checked and normalised."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tunebench.errors import DataError, TunebenchError
from tunebench.naming import said

if TYPE_CHECKING:
    from torch import Tensor

Split = Literal["train", "test"]
LONGEST_NAME = 100
"""Letters of the name of a class."""
Raw = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""Inputs (N, *shape) and labels (N,) as a source gives them."""


@dataclass(frozen=True)
class Place:
    """Where data files lie, and whether missing ones may be fetched."""

    data_dir: Path | None
    """The folder that torchvision calls ``root``; None when the user named none."""
    download: bool = False


class DatasetSource:
    """A data set by name; subclass it, name it, write `load`; ``tunebench_datasets`` returns instances."""

    name: str = ""
    """A slug, unique among all data sets: lower case letters, digits and hyphens."""
    mean: float | None = None
    """Subtracted from inputs in [0, 1]; None: the mean over all training inputs."""
    std: float | None = None
    """What they are then divided by; None: the standard deviation over all training inputs."""
    paper_iterations: int | None = None
    """SGD steps of the published recipe (Xu & Wang 2026), or None where there is none."""
    class_names: Sequence[str] | None = None
    """Names of the labels 0, 1, ...; None: a label is called by its number."""

    def load(self, split: Split, place: Place) -> Raw:
        """Raw inputs (N, *shape) and integer labels (N,).

        Inputs are channels first, uint8 or float32 already in [0, 1]. Raise `DataError` for
        files that are missing or damaged.
        """
        raise NotImplementedError(f"data set {self.name!r} does not define load()")

    def load_valid(self, place: Place) -> Raw | None:
        """A validation split of the data set's own, as `load` gives others; None: it is held out of train."""
        return None

    def names(self, place: Place) -> Sequence[str] | None:
        """Names of the labels 0, 1, ..., or of all labels in ascending order; None: their numbers."""
        return self.class_names


@dataclass(frozen=True, eq=False)
class Samples:
    """One split, ready for training."""

    x: Tensor
    """Normalised inputs, (N, *shape) float32."""
    y: Tensor
    """Class numbers from 0, (N,) int64."""
    valid_from: int | None = None
    """Row from which on a training split is the data set's own validation split; None: it has none."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """An opened data set; both splits are in memory as raw arrays and have been checked."""

    name: str
    classes: int
    shape: tuple[int, ...]
    """Of one input, channels first where it is an image."""
    labels: tuple[int, ...]
    """The original label of every class number, ascending."""
    class_names: tuple[str, ...]
    """What the user calls every class, by number."""
    checksum: str
    """sha256 over bytes, dtypes and shapes of the raw training and test arrays, in hexadecimal."""
    source: DatasetSource
    mean: float
    std: float
    train_size: int
    """Number of training samples, before any is held out."""
    _raw: dict[Split, Raw] = field(repr=False)

    def raw(self, split: Split) -> np.ndarray[Any, Any]:
        """Inputs (N, *shape) as they came, before normalisation."""
        return self._raw[split][0]

    def numbered(self, split: Split) -> np.ndarray[Any, Any]:
        """Class numbers from 0, (N,) int64."""
        return np.searchsorted(self.labels, self._raw[split][1])

    def train(self) -> Samples:
        """The training split as fresh tensors, and after it the data set's own validation split if it has one."""
        samples = self._samples("train")
        return samples if len(samples.y) == self.train_size else replace(samples, valid_from=self.train_size)

    def test(self) -> Samples:
        """The test split as fresh tensors."""
        return self._samples("test")

    def _samples(self, split: Split) -> Samples:
        raw = self.raw(split)
        import torch  # not for a list of names

        x = torch.tensor(raw).to(torch.float32)
        if raw.dtype == np.uint8:
            x.div_(255)
        return Samples(x.sub_(self.mean).div_(self.std), torch.from_numpy(self.numbered(split)))


def opened(name: str, source: DatasetSource, place: Place) -> Dataset:
    """Load both splits of ``source``, check them, and number the classes that occur in train from 0.

    Raises `DataError` for whatever is wrong with the data.
    """
    splits = {"train": _checked(name, "train", lambda: source.load("train", place))}
    valid = _checked(name, "validation", lambda: source.load_valid(place), optional=True)
    splits |= {"validation": valid} if valid else {}
    splits["test"] = _checked(name, "test", lambda: source.load("test", place))
    x_train, y_train = splits["train"]
    labels = np.unique(y_train)
    if len(labels) < 2:
        raise DataError(f"{name}: train holds one class only ({labels[0]}); at least 2 are needed")
    for split, (x, y) in splits.items():
        if x_train.shape[1:] != x.shape[1:] or x_train.dtype != x.dtype:
            raise DataError(
                f"{name}: inputs are {x_train.dtype} {x_train.shape[1:]} in train but "
                f"{x.dtype} {x.shape[1:]} in {split}; they must agree"
            )
        unknown, counts = np.unique(y[~np.isin(y, labels)], return_counts=True)
        if len(unknown):
            raise DataError(
                f"{name}: label {unknown[0]} occurs {counts[0]} times in {split} and 0 times in train; "
                "remove those samples or add some to train"
            )
    mean, std = _moments(source, x_train)
    if not std > 0:
        raise DataError(f"{name}: all training inputs are equal; there is nothing to learn from")
    return Dataset(
        name=name,
        classes=len(labels),
        shape=x_train.shape[1:],
        labels=tuple(labels.tolist()),
        class_names=_class_names(name, labels.tolist(), source.names(place)),
        checksum=_checksum(*(array for split in splits.values() for array in split)),
        source=source,
        mean=mean,
        std=std,
        train_size=len(y_train),
        _raw={"train": _joined(splits["train"], valid), "test": splits["test"]},
    )


def _joined(first: Raw, second: Raw | None) -> Raw:
    if second is None:
        return first
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])


def _class_names(name: str, labels: Sequence[int], names: Sequence[str] | None) -> tuple[str, ...]:
    """What every class is called; ``names`` are those of the labels 0, 1, ..., or else of ``labels`` in order."""
    if names is None:
        return tuple(map(str, labels))
    names = [str(text) for text in names]
    if labels[0] >= 0 and labels[-1] < len(names):
        names = [names[label] for label in labels]
    if len(names) != len(labels):
        raise DataError(f"{name}: {len(names)} class names for {len(labels)} labels, {labels[0]} to {labels[-1]}")
    for text in names:
        if not text.strip() or not text.isprintable() or len(text) > LONGEST_NAME:
            raise DataError(f"{name}: {text[:LONGEST_NAME]!r} cannot be the name of a class; give it another")
        if names.count(text) > 1:
            raise DataError(f"{name}: two classes are called {text!r}; give one another name")
    return tuple(names)


def _checked(name: str, split: str, load: Callable[[], Raw | None], optional: bool = False) -> Any:
    """What ``load`` gives, as it should be, or None where that is ``optional``."""
    try:
        raw = load()
        if raw is None and optional:
            return None
        x, y = raw  # type: ignore[misc]
        x, y = np.asarray(x), np.asarray(y)
    except TunebenchError:
        raise
    except Exception as error:  # a source is anyone's code
        raise DataError(f"{name}: the {split} split cannot be loaded ({said(error)})") from error
    where = f"{name}: {split}"
    if x.ndim < 2 or y.ndim != 1:
        raise DataError(f"{where} must be inputs (N, *shape) and labels (N,), not {x.shape} and {y.shape}")
    if len(x) != len(y):
        raise DataError(f"{where} holds {len(x)} inputs but {len(y)} labels; they must be equally many")
    if x.size == 0:
        raise DataError(f"{where} is empty: inputs have shape {x.shape}")
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{where} labels must be integers, not {y.dtype}")
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"{where} inputs must be uint8 (0..255) or floating point, not {x.dtype}")
    if x.dtype != np.uint8:
        x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise DataError(f"{where} inputs hold NaN or infinite values")
    return np.ascontiguousarray(x), y.astype(np.int64)


def _moments(source: DatasetSource, x: np.ndarray[Any, Any]) -> tuple[float, float]:
    scale = 255 if x.dtype == np.uint8 else 1
    mean = x.mean(dtype=np.float64) / scale if source.mean is None else source.mean
    std = x.std(dtype=np.float64) / scale if source.std is None else source.std
    return float(mean), float(std)


def _checksum(*arrays: np.ndarray[Any, Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{array.dtype.name} {array.shape}\n".encode())
        digest.update(little.data)
    return digest.hexdigest()
