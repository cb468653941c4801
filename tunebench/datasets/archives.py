"""A folder of images in one archive, tar or zip: unpacked with care and decoded once, for the cache to keep."""

from __future__ import annotations

import errno
import gzip
import hashlib
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np

from tunebench.cache import cache_root, cached_folder
from tunebench.datasets.base import DatasetSource, Place, Raw, Split
from tunebench.datasets.files import ImageFolder, Npz
from tunebench.datasets.images import parts_of, subfolders
from tunebench.errors import DataError
from tunebench.naming import cut, said

MOST_FILES, MOST_BYTES = 10**6, 2**33
"""In an archive, unpacked."""
UNREADABLE = (tarfile.TarError, BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError, RuntimeError)
"""What the readers of damaged and encrypted archives raise."""
UNNAMEABLE = {
    **dict.fromkeys((errno.EEXIST, errno.EISDIR, errno.ENOTDIR), "twice, or inside of another file"),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ), "under a name that no file can have here"),
}
"""What is wrong with a name, by the error that a file of that name meets."""
VERSION = 1
"""Raise it when images are decoded differently."""


class ImageArchive(DatasetSource):
    """What `ImageFolder` is for a folder, for a tar or zip archive of one; no program is run and no link followed."""

    def __init__(self, path: Path) -> None:
        self.name = f"imagefolder:{path}"
        self.path = path.absolute()

    def load(self, split: Split, place: Place) -> Raw:
        """One split as the folder inside gives it; `DataError` names the archive and what in it is at fault."""
        return self._decoded().load(split, place)

    def load_valid(self, place: Place) -> Raw | None:
        """The folder's own validation split, if it has one."""
        return self._decoded().load_valid(place)

    def names(self, place: Place) -> Sequence[str] | None:
        """The names of the classes' folders."""
        return self._decoded().names(place)

    def _decoded(self) -> Npz:
        """All of it as arrays in the cache, under the content of the archive."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        folder = cache_root() / "images" / f"{digest[:24]}-{VERSION}"
        return Npz(cached_folder(folder, self._decode) / "images.npz")

    def _decode(self, folder: Path) -> None:
        """Write ``images.npz`` into ``folder``."""
        tree = folder / "tree"
        unpack(self.path, tree)
        try:
            found = arrays_of(ImageFolder(only_folder(tree)))
        except DataError as error:
            raise DataError(str(error).replace(f"{tree}", f"{self.path}: ").replace(": /", ": ")) from error
        shutil.rmtree(tree)
        np.savez(folder / "images.npz", **found)


def image_folder(path: Path) -> DatasetSource:
    """The source of ``imagefolder:PATH``: a folder, or an archive of one."""
    archive = path.is_file() and (is_zipfile(path) or tarfile.is_tarfile(path))
    return ImageArchive(path) if archive else ImageFolder(path)


def arrays_of(images: ImageFolder) -> dict[str, Any]:
    """A folder of images as `Npz` reads it."""
    nowhere = Place(None)
    parts = {"train": images.load("train", nowhere), "test": images.load("test", nowhere)}
    valid = images.load_valid(nowhere)
    parts |= {"valid": valid} if valid else {}
    found: dict[str, Any] = {"class_names": np.array(images.names(nowhere))}
    for part, (x, y) in parts.items():
        found |= {f"x_{part}": x, f"y_{part}": y}
    return found


def only_folder(tree: Path) -> Path:
    """The folder that holds the classes or the parts: ``tree`` itself, or below folders that are alone in theirs."""
    while not parts_of(tree) and len(inside := subfolders(tree)) == 1:
        tree = inside[0]
    return tree


def unpack(path: Path, folder: Path) -> None:
    """Write the regular files of an archive below ``folder``, which is made.

    DataError for an archive that cannot be read, one beyond `MOST_FILES` or `MOST_BYTES`, a link or a device, and a
    name that leads elsewhere or occurs twice; nothing is ever written outside ``folder``.
    """
    folder.mkdir()
    total = 0
    try:
        for number, (name, size, content) in enumerate(files_in(path), 1):
            total += size
            if number > MOST_FILES or total > MOST_BYTES:
                bounds = f"{MOST_FILES:,} files or {MOST_BYTES >> 30} GiB"
                raise DataError(f"{path} holds more than {bounds}; unpack it and name the folder")
            place = PurePosixPath(name)
            if place.is_absolute() or ".." in place.parts or "\0" in name or "\\" in name:
                raise DataError(f"{path} holds {name!r}, which leads out of its folder; pack it again")
            try:
                file = new_file(folder / place)
            except OSError as error:
                if error.errno in UNNAMEABLE:
                    raise DataError(
                        f"{path} holds {cut(name, 80)!r} {UNNAMEABLE[error.errno]}; pack it again"
                    ) from error
                raise
            with file, content:
                shutil.copyfileobj(content, file)
    except UNREADABLE as error:
        raise DataError(f"{path} is no readable archive ({said(error)})") from error


def new_file(place: Path) -> IO[bytes]:
    """A file that was not there, open for writing, and the folders that it lies in; OSError where it cannot be made."""
    place.parent.mkdir(parents=True, exist_ok=True)
    return place.open("xb")


def files_in(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name, size in bytes and content of every file of an archive; the content is read no further than the size."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield entry.filename, entry.file_size, archive.open(entry)
        return
    with tarfile.open(path) as packed:
        for member in packed:
            if member.isdir():
                continue
            content = packed.extractfile(member) if member.isreg() else None
            if content is None:
                raise DataError(f"{path} holds {member.name!r}, a link or a device; pack it again with files alone")
            yield member.name, member.size, content
