"""What a data set is: a source of raw arrays, and the same opened, checked and normalised."""

from __future__ import annotations

import hashlib
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from tunebench.errors import DataError, TunebenchError

Split = Literal["train", "test"]
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

    def load(self, split: Split, place: Place) -> Raw:
        """Raw inputs (N, *shape) and integer labels (N,).

        Inputs are channels first, uint8 or float32 already in [0, 1]. Raise `DataError` for
        files that are missing or damaged.
        """
        raise NotImplementedError(f"data set {self.name!r} does not define load()")


@dataclass(frozen=True, eq=False)
class Samples:
    """One split, ready for training."""

    x: Tensor
    """Normalised inputs, (N, *shape) float32."""
    y: Tensor
    """Class numbers from 0, (N,) int64."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """An opened data set; both splits are in memory as raw arrays and have been checked."""

    name: str
    classes: int
    shape: tuple[int, ...]
    """Of one input, channels first where it is an image."""
    labels: tuple[int, ...]
    """The original label of every class number, ascending."""
    checksum: str
    """sha256 over bytes, dtypes and shapes of the raw training and test arrays, in hexadecimal."""
    source: DatasetSource
    mean: float
    std: float
    _raw: dict[Split, Raw] = field(repr=False)

    @property
    def train_size(self) -> int:
        """Number of training samples, before any is held out."""
        return len(self._raw["train"][1])

    def train(self) -> Samples:
        """The training split as fresh tensors."""
        return self._samples("train")

    def test(self) -> Samples:
        """The test split as fresh tensors."""
        return self._samples("test")

    def _samples(self, split: Split) -> Samples:
        raw, labels = self._raw[split]
        x = torch.tensor(raw).to(torch.float32)
        if raw.dtype == np.uint8:
            x.div_(255)
        y = np.searchsorted(self.labels, labels)
        return Samples(x.sub_(self.mean).div_(self.std), torch.from_numpy(y))


def opened(name: str, source: DatasetSource, place: Place) -> Dataset:
    """Load both splits of ``source``, check them, and number the classes that occur in train from 0.

    Raises `DataError` for whatever is wrong with the data.
    """
    x_train, y_train = train = _checked(name, source, "train", place)
    x_test, y_test = test = _checked(name, source, "test", place)
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise DataError(
            f"{name}: inputs are {x_train.dtype} {x_train.shape[1:]} in train but "
            f"{x_test.dtype} {x_test.shape[1:]} in test; they must agree"
        )
    labels = np.unique(y_train)
    if len(labels) < 2:
        raise DataError(f"{name}: train holds one class only ({labels[0]}); at least 2 are needed")
    unknown, counts = np.unique(y_test[~np.isin(y_test, labels)], return_counts=True)
    if len(unknown):
        raise DataError(
            f"{name}: label {unknown[0]} occurs {counts[0]} times in test and 0 times in train; "
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
        checksum=_checksum(*train, *test),
        source=source,
        mean=mean,
        std=std,
        _raw={"train": train, "test": test},
    )


def reason(error: BaseException) -> str:
    """An exception as one line of bounded length."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", width=240, placeholder=" ...")


def _checked(name: str, source: DatasetSource, split: Split, place: Place) -> Raw:
    try:
        x, y = source.load(split, place)
        x, y = np.asarray(x), np.asarray(y)
    except TunebenchError:
        raise
    except Exception as error:  # a source is anyone's code
        raise DataError(f"{name}: the {split} split cannot be loaded ({reason(error)})") from error
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
