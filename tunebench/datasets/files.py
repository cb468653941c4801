"""Data sets from the user's own files: an npz archive or a folder of images."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np

from tunebench.datasets.base import DatasetSource, Place, Raw, Split
from tunebench.datasets.images import images_by_class, opened_image, parts_of
from tunebench.datasets.splits import stratified
from tunebench.errors import DataError
from tunebench.naming import said

TEST_SHARE = 0.2
SPLIT_SEED = 0
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""The EXIF tag that says how a camera was held, and its values for an image that lies on its side."""


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
                    return (_grey(archive[x]), archive[y]) if x.startswith("x_") else _images(archive[x], archive[y])
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
            raise DataError(f"{self.path} is no readable npz archive ({said(error)})") from error


def _grey(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Bytes (N, H, W) are grey images, (N, 1, H, W); everything else stays."""
    return x[:, None] if x.dtype == np.uint8 and x.ndim == 3 else x


def _images(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Raw:
    """Images and labels as MedMNIST stores them, channels first and labels in one row."""
    if x.ndim == 4 and x.shape[-1] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    elif x.ndim in (3, 4):
        x = x[:, None]
    return x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


class ImageFolder(DatasetSource):
    """A folder per class, inside ``train/`` and ``test/`` or in one tree of which 20 % become the test split.

    ``val/`` beside them is the validation split. Every image is turned upright by its EXIF tag and resized (bilinear)
    to the size of the first training image. Inputs are grey (1, H, W) when all images are, else RGB (3, H, W).
    """

    def __init__(self, path: Path) -> None:
        self.name = f"imagefolder:{path}"
        self.path = path.absolute()

    def load(self, split: Split, place: Place) -> Raw:
        """Decode one split to uint8; `DataError` names the folder or image at fault."""
        return self._decoded(split)

    def load_valid(self, place: Place) -> Raw | None:
        """The folder's own validation split, if it has one."""
        return self._decoded("valid") if "valid" in self._files[0] else None

    def names(self, place: Place) -> Sequence[str]:
        """The folders' names, in the order of their labels."""
        return self._files[1]

    def _decoded(self, split: str) -> Raw:
        samples, (size, grey) = self._files[0][split], self._form
        return np.stack([pixels(path, size, grey) for path, _ in samples]), np.array([label for _, label in samples])

    @cached_property
    def _form(self) -> tuple[tuple[int, int], bool]:
        """Width and height that all images get, and whether they are grey."""
        parts, _ = self._files
        grey = all(is_grey(path) for path, _ in itertools.chain.from_iterable(parts.values()))
        with opened_image(parts["train"][0][0]) as first:
            return upright_size(first), grey

    @cached_property
    def _files(self) -> tuple[dict[str, Labelled], list[str]]:
        """Image files with labels, by part, and the classes' names."""
        if not self.path.is_dir():
            what = "is a file, and no tar or zip archive; name a folder" if self.path.is_file() else "is missing"
            raise DataError(f"{self.path} {what}; imagefolder:DIR needs a folder with one subfolder per class")
        folders = parts_of(self.path)
        if not folders:
            samples, names = numbered(images_by_class(self.path))
            return split_in_two(samples, self.path), names
        for part in ("train", "test"):
            if part not in folders:
                there = " and ".join(f"{path.name}/" for path in folders.values())
                raise DataError(f"{self.path} has {there} but not its counterpart {part}/; add it, or drop that level")
        train, names = numbered(images_by_class(folders["train"]))
        parts = {"train": train}
        for part in ("valid", "test"):
            if part in folders:
                found = images_by_class(folders[part])
                unknown = sorted(set(found) - set(names))
                if unknown:
                    raise DataError(f"{folders[part] / unknown[0]}: there is no class {unknown[0]!r} in train")
                parts[part] = [(path, label) for label, name in enumerate(names) for path in found.get(name, ())]
        return parts, names


Labelled = list[tuple[Path, int]]


def numbered(found: dict[str, list[Path]]) -> tuple[Labelled, list[str]]:
    """Image files with labels, and the classes' names, both as people count: 2 before 10."""
    names = sorted(found, key=natural)
    return [(path, label) for label, name in enumerate(names) for path in found[name]], names


def split_in_two(samples: Labelled, folder: Path) -> dict[str, Labelled]:
    """One tree as two parts, by class."""
    try:
        rows = stratified(np.array([label for _, label in samples]), round(len(samples) * TEST_SHARE), SPLIT_SEED)
    except DataError as error:
        raise DataError(f"{folder}: {error}") from error
    return {part: [samples[row] for row in chosen] for part, chosen in zip(("train", "test"), rows, strict=True)}


def natural(name: str) -> list[Any]:
    """Sorts names by their letters and by the values of the numbers in them."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)] + [name]


def is_grey(path: Path) -> bool:
    """Whether an image has no colours, by its header."""
    with opened_image(path) as image:
        return image.mode in ("1", "L", "LA")


def upright_size(image: Any) -> tuple[int, int]:
    """Width and height of an image once it is turned as its EXIF tag says."""
    width, height = image.size
    return (height, width) if image.getexif().get(ORIENTATION, 1) in SIDEWAYS else (width, height)


def pixels(path: Path, size: tuple[int, int], grey: bool) -> np.ndarray:
    """One image, upright, as (1 or 3, H, W) uint8."""
    from PIL import Image, ImageOps

    try:
        with opened_image(path) as image:
            if image.mode[0] in "IF":
                raise ValueError(f"mode {image.mode}: only 8 bits per channel are supported")
            ImageOps.exif_transpose(image, in_place=True)
            found = np.asarray(image.convert("L" if grey else "RGB").resize(size, Image.Resampling.BILINEAR))
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path} is no readable image ({said(error)})") from error
    return found[None] if grey else found.transpose(2, 0, 1)
