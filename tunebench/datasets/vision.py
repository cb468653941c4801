"""Data sets that torchvision reads and downloads: MNIST, Fashion-MNIST, EMNIST, SVHN."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from tunebench.datasets.base import DatasetSource, Place, Raw, Split
from tunebench.datasets.torchvision_compat import import_torchvision
from tunebench.errors import DataError
from tunebench.naming import said

PAPER_ITERATIONS = {"mnist": 32_000, "fashion-mnist": 227_000, "svhn": 275_000, "emnist-balanced": 468_000}
"""SGD steps of the originals, Xu & Wang 2026 (docs/methods.md, section 1)."""
MNIST_MOMENTS = (0.1307, 0.3081)
HALVES = (0.5, 0.5)
REPLACE = "; replace it, or delete it and pass --download"


class IdxSource(DatasetSource):
    """One of the sets stored as idx files (MNIST's format), images (1, 28, 28) uint8.

    ``kind`` is torchvision's class, also the name of its folder; labels are 0 .. ``label_bound`` - 1.
    """

    def __init__(self, name: str, kind: str, label_bound: int, mean: float, std: float) -> None:
        self.name = name
        self.kind = kind
        self.label_bound = label_bound
        self.mean = mean
        self.std = std
        self.paper_iterations = PAPER_ITERATIONS.get(name)

    def load(self, split: Split, place: Place) -> Raw:
        """Read through torchvision; `DataError` names the file that is missing or damaged."""
        root = _root(self.name, place)
        for path in sorted((root / self.kind / "processed").glob("*.pt")):
            raise DataError(f"{path} is a pickle of an old torchvision that would be loaded instead of raw/; delete it")
        train, test = self._files(root)
        images, labels = train if split == "train" else test

        def read() -> Any:
            options = {"split": self.name.removeprefix("emnist-")} if self.kind == "EMNIST" else {}
            dataset = getattr(import_torchvision().datasets, self.kind)
            return dataset(place.data_dir, train=split == "train", download=place.download, **options)

        data = _read(place, (images, labels, *train, *test), read)  # torchvision insists on all four
        x, y = data.data.numpy()[:, None], data.targets.numpy()
        if len(x) != len(y):
            raise DataError(f"{images} holds {len(x)} images but {labels.name} {len(y)} labels; replace both")
        _check_labels(labels, y, self.label_bound)
        return x, y

    def names(self, place: Place) -> Sequence[str] | None:
        """The classes' names where they are no digits: pieces of clothing, letters."""
        dataset = getattr(import_torchvision().datasets, self.kind)
        if self.kind == "EMNIST":
            return list(dataset.classes_split_dict[self.name.removeprefix("emnist-")])
        return None if self.kind == "MNIST" else list(dataset.classes)

    def _files(self, root: Path) -> list[tuple[Path, Path]]:
        """Images and labels of train, then of test."""
        emnist = self.kind == "EMNIST"
        prefixes = (f"{self.name}-train", f"{self.name}-test") if emnist else ("train", "t10k")
        raw = root / self.kind / "raw"
        return [(raw / f"{prefix}-images-idx3-ubyte", raw / f"{prefix}-labels-idx1-ubyte") for prefix in prefixes]


class Svhn(DatasetSource):
    """House numbers, images (3, 32, 32) uint8; the files' label 10 is the digit 0."""

    name = "svhn"
    mean = 0.5
    std = 0.5
    paper_iterations = PAPER_ITERATIONS["svhn"]

    def load(self, split: Split, place: Place) -> Raw:
        """Read through torchvision; `DataError` names the file that is missing or damaged."""
        root = _root(self.name, place)
        path = root / f"{split}_32x32.mat"

        def read() -> Any:
            svhn = import_torchvision().datasets.SVHN
            if place.download and not path.exists():
                return svhn(root, split=split, download=True)
            # torchvision reads only the published files, by md5; a subset in the same format is welcome here.
            files = {key: [url, file, None] for key, (url, file, _) in svhn.split_list.items()}
            return type("SVHN", (svhn,), {"split_list": files})(root, split=split)

        data = _read(place, (path,), read)
        x, y = data.data, np.atleast_1d(data.labels)
        if x.dtype != np.uint8 or x.shape[1:] != (3, 32, 32) or y.shape != x.shape[:1]:
            raise DataError(
                f"{path} must hold X (32, 32, 3, N) uint8 and y (N, 1); torchvision reads "
                f"{x.shape} {x.dtype} and {y.shape}{REPLACE}"
            )
        _check_labels(path, y, 10)
        return x, y


SOURCES: tuple[DatasetSource, ...] = (
    IdxSource("mnist", "MNIST", 10, *MNIST_MOMENTS),
    IdxSource("fashion-mnist", "FashionMNIST", 10, *MNIST_MOMENTS),
    Svhn(),
    IdxSource("emnist-balanced", "EMNIST", 47, *HALVES),
    IdxSource("emnist-byclass", "EMNIST", 62, *HALVES),
    IdxSource("emnist-bymerge", "EMNIST", 47, *HALVES),
    IdxSource("emnist-digits", "EMNIST", 10, *HALVES),
    IdxSource("emnist-letters", "EMNIST", 27, *HALVES),
    IdxSource("emnist-mnist", "EMNIST", 10, *HALVES),
)
"""Means and standard deviations: docs/methods.md, section 1."""


def _root(name: str, place: Place) -> Path:
    if place.data_dir is None:
        raise DataError(f"{name} needs a data directory: set TUNEBENCH_DATA or pass --data-dir")
    return place.data_dir


def _read(place: Place, files: tuple[Path, ...], read: Callable[[], Any]) -> Any:
    """Call ``read`` with torchvision's prints on stderr; a failure is a `DataError` that names a file."""
    try:
        with redirect_stdout(sys.stderr):
            return read()
    except ImportError:
        raise
    except Exception as error:  # torchvision, pickle, scipy and urllib raise many kinds
        text = _absent(files, place, error)
        if text is None:
            text = (_damaged(files) or f"{files[0]} cannot be read ({said(error)})") + REPLACE
        raise DataError(text) from error


def _absent(files: tuple[Path, ...], place: Place, error: Exception) -> str | None:
    """Which file is not there, where it was looked for, and what to do."""
    for path in files:
        if not path.exists():
            packed = path.with_name(path.name + ".gz")
            put = f"put torchvision's files under {place.data_dir}"
            if packed.exists():
                put = f"unpack {packed.name}"
            text = f"{path} is missing; {put}, set TUNEBENCH_DATA or --data-dir, or pass --download"
            return f"{text} (the download failed: {said(error)})" if place.download else text
    return None


def _damaged(files: tuple[Path, ...]) -> str | None:
    """What is wrong with an idx file: magic number (8 = uint8, number of axes), sizes, then the bytes."""
    for path in files:
        if "-ubyte" not in path.name:
            continue
        axes = 3 if "idx3" in path.name else 1
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(4 * (1 + axes))
        if len(header) < 4 * (1 + axes):
            return f"{path} is truncated ({size} bytes)"
        magic, *shape = struct.unpack(f">{1 + axes}I", header)
        if magic != 0x800 + axes:
            return f"{path} is no idx file of bytes in {axes} dimensions (magic number {magic:#010x})"
        if 0 in shape:
            return f"{path} is empty: its header says {shape}"
        if size != len(header) + math.prod(shape):
            return f"{path} has {size} bytes where its header promises {len(header) + math.prod(shape)}"
    return None


def _check_labels(path: Path, y: np.ndarray, bound: int) -> None:
    wrong = y[(y < 0) | (y >= bound)]
    if len(wrong):
        raise DataError(f"{path} holds label {wrong[0]}, outside 0..{bound - 1}{REPLACE}")
