"""Data sets from the user's own files: an npz archive or a folder of images."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np

from tunebench.datasets.base import DatasetSource, Place, Raw, Split, reason
from tunebench.datasets.splits import stratified
from tunebench.datasets.torchvision_compat import import_torchvision
from tunebench.errors import DataError

TEST_SHARE = 0.2
SPLIT_SEED = 0


class Npz(DatasetSource):
    """``x_train, y_train, x_test, y_test`` of an archive; uint8 is scaled to [0, 1], floats are not.

    ``class_names`` may name the classes, ``x_valid`` and ``y_valid`` be a validation split of its own. The keys of
    MedMNIST do as well: ``train_images`` (N, H, W) or (N, H, W, 3), ``train_labels`` (N, 1), ``val_...``, ``test_...``.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"npz:{path}"
        self.path = path.absolute()

    def load(self, split: Split, place: Place) -> Raw:
        """Read two arrays; `DataError` when the file is missing, damaged or lacks one."""
        found = self._pair(split, split)
        if found is None:
            raise DataError(f"{self.path} holds no x_{split}; it needs x_train, y_train, x_test and y_test")
        return found

    def load_valid(self, place: Place) -> Raw | None:
        """The archive's own validation split, if it has one."""
        return self._pair("valid", "val")

    def names(self, place: Place) -> Sequence[str] | None:
        """``class_names``, if the archive holds them."""
        names: Sequence[str] | None = self._read(
            lambda found: found["class_names"].tolist() if "class_names" in found else None
        )
        return names

    def _pair(self, ours: str, medmnist: str) -> Raw | None:
        """One split by our keys or by MedMNIST's, None where there is neither."""

        def read(archive: Any) -> Raw | None:
            for x, y in ((f"x_{ours}", f"y_{ours}"), (f"{medmnist}_images", f"{medmnist}_labels")):
                if x in archive and y not in archive:
                    raise KeyError(f"it holds {x} but no {y}")
                if x in archive:
                    return (archive[x], archive[y]) if x.startswith("x_") else _images(archive[x], archive[y])
            return None

        found: Raw | None = self._read(read)
        return found

    def _read(self, read: Callable[[Any], Any]) -> Any:
        """What ``read`` takes out of the archive."""
        if not self.path.is_file():
            raise DataError(f"{self.path} is missing; npz:FILE needs an archive written by numpy.savez")
        # numpy would take any other file for a pickle and tell how to load it unsafely.
        if not is_zipfile(self.path):
            raise DataError(f"{self.path} is no npz archive; npz:FILE needs one written by numpy.savez")
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                return read(archive)
        except KeyError as error:
            raise DataError(f"{self.path}: {error.args[0]}; it needs x_train, y_train, x_test and y_test") from error
        except Exception as error:  # zipfile, zlib and numpy each have their own
            raise DataError(f"{self.path} is no readable npz archive ({reason(error)})") from error


def _images(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Raw:
    """Images and labels as MedMNIST stores them, channels first and labels in one row."""
    if x.ndim == 4 and x.shape[-1] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    elif x.ndim in (3, 4):
        x = x[:, None]
    return x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


class ImageFolder(DatasetSource):
    """A folder per class, inside ``train/`` and ``test/`` or in one tree of which 20 % become the test split.

    Every image is resized (bilinear) to the size of the first training image. Inputs are grey (1, H, W) when
    all images are, else RGB (3, H, W).
    """

    def __init__(self, path: Path) -> None:
        self.name = f"imagefolder:{path}"
        self.path = path.absolute()

    def load(self, split: Split, place: Place) -> Raw:
        """Decode one split to uint8; `DataError` names the folder or image at fault."""
        train, test = self._files()
        grey = all(_image(path).mode in ("1", "L", "LA") for path, _ in train + test)
        size = _image(train[0][0]).size
        samples = train if split == "train" else test
        x = np.stack([_pixels(path, size, grey) for path, _ in samples])
        return x, np.array([label for _, label in samples])

    def names(self, place: Place) -> Sequence[str]:
        """The folders' names, in the order of their labels."""
        folder = self.path / "train" if (self.path / "train").is_dir() else self.path
        return list(_samples(folder)[1])

    def _files(self) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]]]:
        if not self.path.is_dir():
            raise DataError(f"{self.path} is missing; imagefolder:DIR needs a folder with one subfolder per class")
        parts = [self.path / "train", self.path / "test"]
        present = [part for part in parts if part.is_dir()]
        if len(present) == 1:
            raise DataError(f"{self.path} has {present[0].name}/ but not its counterpart; add it, or drop that level")
        if not present:
            samples, _ = _samples(self.path)
            labels = np.array([label for _, label in samples])
            try:
                rows = stratified(labels, round(len(samples) * TEST_SHARE), SPLIT_SEED)
            except DataError as error:
                raise DataError(f"{self.path}: {error}") from error
            train, test = ([samples[row] for row in part] for part in rows)
            return train, test
        train, numbers = _samples(parts[0])
        test, names = _samples(parts[1])
        unknown = sorted(set(names) - set(numbers))
        if unknown:
            raise DataError(f"{parts[1] / unknown[0]}: there is no class {unknown[0]!r} in train")
        by_test_label = {label: numbers[name] for name, label in names.items()}
        return train, [(path, by_test_label[label]) for path, label in test]


def _samples(folder: Path) -> tuple[list[tuple[Path, int]], dict[str, int]]:
    """Image files with labels, and the label of every class name, both as people count: 2 before 10."""
    try:
        found = import_torchvision().datasets.ImageFolder(folder)
    except OSError as error:
        raise DataError(f"{folder} is no folder of images by class ({reason(error)})") from error
    numbers = {name: label for label, name in enumerate(sorted(found.classes, key=natural))}
    samples = [(Path(path), numbers[found.classes[label]]) for path, label in found.samples]
    return sorted(samples, key=lambda sample: sample[1]), numbers


def natural(name: str) -> list[Any]:
    """Sorts names by their letters and by the values of the numbers in them."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)] + [name]


def _image(path: Path) -> Any:
    """The opened image, pixels still undecoded."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image
    except Exception as error:
        raise DataError(f"{path} is no readable image ({reason(error)})") from error


def _pixels(path: Path, size: tuple[int, int], grey: bool) -> np.ndarray:
    """One image as (1 or 3, H, W) uint8."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":
                raise ValueError(f"mode {image.mode}: only 8 bits per channel are supported")
            pixels = np.asarray(image.convert("L" if grey else "RGB").resize(size, Image.Resampling.BILINEAR))
    except Exception as error:
        raise DataError(f"{path} is no readable image ({reason(error)})") from error
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
