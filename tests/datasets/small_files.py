"""Small files of the real formats, written by the tests."""

import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from tunebench import DataError
from tunebench.datasets import Dataset, Place, open_dataset

NOWHERE = Place(None)
ROWS = np.random.default_rng(0)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write uint8 ``array`` in MNIST's file format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(root: Path, kind: str = "MNIST", prefixes: tuple[str, str] = ("train", "t10k")) -> Path:
    """Write 40 training and 20 test images of classes 0..9; return the folder of the files."""
    raw = root / kind / "raw"
    for prefix, size in zip(prefixes, (40, 20), strict=True):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", ROWS.integers(0, 256, (size, 28, 28)))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(size) % 10)
    return raw


def write_svhn(root: Path, **replace: np.ndarray) -> None:
    """Write 30 training and 20 test images with labels 1..10 as MATLAB files."""
    for split, size in (("train", 30), ("test", 20)):
        x = ROWS.integers(0, 256, (32, 32, 3, size)).astype(np.uint8)
        y = (np.arange(size) % 10 + 1).astype(np.uint8)[:, None]
        scipy.io.savemat(root / f"{split}_32x32.mat", {"X": x, "y": y} | replace)


def npz_arrays() -> dict[str, np.ndarray]:
    """A small valid archive: 3 classes, uint8 inputs of 5 features."""
    return {
        "x_train": ROWS.integers(0, 256, (12, 5)).astype(np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": ROWS.integers(0, 256, (6, 5)).astype(np.uint8),
        "y_test": np.arange(6) % 3,
    }


def write_images(folder: Path, classes: dict[str, int], mode: str = "L", size: tuple[int, int] = (6, 4)) -> None:
    """Write ``count`` PNG images per class into a folder each."""
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for k in range(count):
            Image.new(mode, size, k * 20 if mode == "L" else (k * 20, 0, 100)).save(folder / name / f"{k}.png")


def failure(name: str, place: Place) -> str:
    """The one line of the `DataError` that opening ``name`` raises."""
    with pytest.raises(DataError) as caught:
        open_dataset(name, place)
    text = str(caught.value)
    assert text.count("\n") == 0
    return text


def check_normalised(dataset: Dataset, sizes: tuple[int, int]) -> None:
    """Sizes, types and label range of both splits."""
    for samples, size in zip((dataset.train(), dataset.test()), sizes, strict=True):
        assert samples.x.shape == (size, *dataset.shape)
        assert samples.x.dtype == torch.float32
        assert samples.y.dtype == torch.int64
        assert samples.y.unique().tolist() == list(range(dataset.classes))


DAMAGE = {
    "empty": lambda data: b"",
    "short header": lambda data: data[:6],
    "short": lambda data: data[:-3],
    "long": lambda data: data + b"\0",
    "magic": lambda data: b"\0\0\x0d\x03" + data[4:],
    "text": lambda data: b"<html>404 Not Found</html>" * 9,
}
