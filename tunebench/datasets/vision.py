"""Data sets that torchvision reads and downloads: MNIST, Fashion-MNIST, EMNIST, SVHN."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from tunebench.datasets.base import DatasetSource, Place, Raw, Split, reason
from tunebench.errors import DataError
from tunebench.torchvision_compat import import_torchvision

PAPER_ITERATIONS = {"mnist": 32_000, "fashion-mnist": 227_000, "svhn": 275_000, "emnist-balanced": 468_000}
"""SGD steps of the originals, Xu & Wang 2026 (METHODS section 1)."""
MNIST_MOMENTS = (0.1307, 0.3081)
HALVES = (0.5, 0.5)


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
        images, labels = files = self._files(root, split)

        def read() -> Any:
            options = {"split": self.name.removeprefix("emnist-")} if self.kind == "EMNIST" else {}
            dataset = getattr(import_torchvision().datasets, self.kind)
            return dataset(root, train=split == "train", download=place.download, **options)

        data = _read(self.name, read, lambda: _absent(self.name, files, root) or _damaged(files))
        x, y = data.data.numpy()[:, None], data.targets.numpy()
        if len(x) != len(y):
            raise DataError(
                f"{images} holds {len(x)} images but {labels.name} {len(y)} labels; fetch both again"
            )
        _check_labels(labels, y, self.label_bound)
        return x, y

    def _files(self, root: Path, split: Split) -> tuple[Path, Path]:
        prefix = (
            f"{self.name}-{split}" if self.kind == "EMNIST" else {"train": "train", "test": "t10k"}[split]
        )
        folder = root / self.kind / "raw"
        return folder / f"{prefix}-images-idx3-ubyte", folder / f"{prefix}-labels-idx1-ubyte"


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

        data = _read(self.name, read, lambda: _absent(self.name, (path,), root), path)
        x, y = data.data, np.atleast_1d(data.labels)
        if x.dtype != np.uint8 or x.shape[1:] != (3, 32, 32) or y.shape != x.shape[:1]:
            raise DataError(
                f"{path} must hold X (32, 32, 3, N) uint8 and y (N, 1); after transposition they are "
                f"{x.shape} {x.dtype} and {y.shape}"
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
"""Means and standard deviations: METHODS section 1."""


def _root(name: str, place: Place) -> Path:
    if place.data_dir is None:
        raise DataError(f"{name} needs a data directory: set TUNEBENCH_DATA or pass --data-dir")
    return place.data_dir


def _read(
    name: str, read: Callable[[], Any], fault: Callable[[], str | None], path: Path | None = None
) -> Any:
    """Call ``read`` with torchvision's prints on stderr; when it fails, say which file is at fault."""
    try:
        with redirect_stdout(sys.stderr):
            return read()
    except ImportError:
        raise
    except Exception as error:  # torchvision, pickle, scipy and urllib raise many kinds
        text = fault() or f"{path or name} cannot be read ({reason(error)}); fetch it again"
        raise DataError(text) from error


def _absent(name: str, files: tuple[Path, ...], root: Path) -> str | None:
    for path in files:
        if not path.exists():
            packed = path.with_name(path.name + ".gz")
            first = (
                f"unpack {packed.name} there" if packed.exists() else f"put torchvision's files under {root}"
            )
            return f"{name}: {path} is missing; {first}, set TUNEBENCH_DATA or --data-dir, or pass --download"
    return None


def _damaged(files: tuple[Path, ...]) -> str | None:
    """What is wrong with idx files: a magic number (8 = uint8, number of axes), the sizes, then the bytes."""
    for path, axes in zip(files, (3, 1), strict=True):
        size = path.stat().st_size
        header = 4 * (1 + axes)
        with path.open("rb") as file:
            start = file.read(header)
        if len(start) < header:
            return f"{path} is truncated ({size} bytes); fetch it again"
        magic, *shape = struct.unpack(f">{1 + axes}I", start)
        if magic != 0x800 + axes:
            return f"{path} is no idx file of unsigned bytes (magic number {magic:#010x}); fetch it again"
        if size != header + int(np.prod(shape)):
            return (
                f"{path} has {size} bytes, its header promises {header + int(np.prod(shape))}; fetch it again"
            )
    return None


def _check_labels(path: Path, y: np.ndarray, bound: int) -> None:
    wrong = y[(y < 0) | (y >= bound)]
    if len(wrong):
        raise DataError(f"{path} holds label {wrong[0]}, outside 0..{bound - 1}; fetch it again")
