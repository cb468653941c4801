"""Images of strangers: which files of a folder they are, of which class and part, and how one is opened."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunebench.errors import DataError
from tunebench.naming import said

FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"),
    ".png": "PNG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".webp": "WEBP",
}
"""The one format of Pillow that a suffix is opened by: others run programs, or are read by code that few look at."""
UNREAD = frozenset(
    {".avif", ".dcm", ".eps", ".heic", ".heif", ".ico", ".j2k", ".jp2", ".jxl", ".pcx", ".pdf", ".ps", ".psd", ".raw",
     ".svg", ".tga", ".wmf", ".xbm", ".xpm"}
)  # fmt: skip
"""Suffixes of images that are not read; they are named, never left out in silence."""
JUNK = re.compile(r"\..*|__MACOSX|@eaDir|lost\+found|\$RECYCLE\.BIN|System Volume Information")
"""What systems and editors leave in folders: no class and no image."""
PARTS = {
    "train": re.compile(r"train(ing)?"),
    "valid": re.compile(r"val(id(ation)?)?|dev"),
    "test": re.compile(r"test(ing)?"),
}
"""How the folders of parts are called, in letters of either case, with or without a word such as ``set`` behind."""
BEHIND = re.compile(r"[ _-]?(set|data|images|imgs|part|split)$")


def parts_of(folder: Path) -> dict[str, Path]:
    """The folders of ``train``, ``valid`` and ``test`` in ``folder``, by whatever name; DataError for two of one."""
    found: dict[str, Path] = {}
    for path in subfolders(folder):
        name = BEHIND.sub("", path.name.casefold())
        for part, pattern in PARTS.items():
            if pattern.fullmatch(name):
                if part in found:
                    raise DataError(f"{folder} has {found[part].name}/ and {path.name}/, both {part}; keep one of them")
                found[part] = path
    return found


def images_by_class(folder: Path) -> dict[str, list[Path]]:
    """The image files below every subfolder of ``folder``, by its name in NFC, both sorted as texts.

    DataError for a folder without images, two of one name, an image that is no regular file or of a format that is
    not read, and a link that leads back.
    """
    found: dict[str, list[Path]] = {}
    for path in subfolders(folder):
        name = unicodedata.normalize("NFC", path.name)
        if name in found:
            raise DataError(f"{folder} has two folders called {name!r}, spelt differently in Unicode; merge them")
        files = files_below(path, (os.path.realpath(folder),))
        found[name] = sorted(filter(is_image, files), key=lambda file: (str(file.parent), file.name))
        if not found[name]:
            raise DataError(f"{path} holds no image ({', '.join(FORMATS)}); add some, or remove it")
    if not found:
        raise DataError(f"{folder} has no subfolder; images lie in one folder per class")
    return dict(sorted(found.items()))


def subfolders(folder: Path) -> list[Path]:
    """The folders in ``folder`` but `JUNK`, sorted."""
    try:
        return sorted(path for path in folder.iterdir() if not JUNK.fullmatch(path.name) and path.is_dir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({said(error)})") from error


def files_below(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """All that is no folder and no `JUNK`; links are followed, but to none of the real folders ``above``."""
    here = os.path.realpath(folder)
    if here in above:
        raise DataError(f"{folder} is a link that leads back to {here}; remove it")
    try:
        with os.scandir(folder) as entries:
            kept = [(Path(entry.path), entry.is_dir()) for entry in entries if not JUNK.fullmatch(entry.name)]
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({said(error)})") from error
    for path, is_folder in kept:
        if is_folder:
            yield from files_below(path, (*above, here))
        else:
            yield path


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix; DataError for one that cannot be read as such."""
    suffix = path.suffix.casefold()
    if suffix in UNREAD:
        raise DataError(f"{path}: {suffix} is not read; convert it to one of {', '.join(FORMATS)}, or remove it")
    return suffix in FORMATS


def opened_image(path: Path) -> Any:
    """The opened `PIL.Image.Image`, pixels still undecoded; DataError for what is no single image of its suffix."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path} is no regular file; remove it")
        image = opened_as(path, FORMATS[path.suffix.casefold()])
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path} is no readable image{another(path)} ({said(error)})") from error
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # photographs of telephones, with a preview
        raise DataError(f"{path} holds {frames} images; keep one of them")
    return image


def opened_as(path: Path, *formats: str) -> Any:
    """The image if it is of one of Pillow's ``formats``, and of no more pixels than Pillow thinks safe."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path, formats=formats)


def another(path: Path) -> str:
    """What a regular file is by its content, where its suffix says something else."""
    try:
        with opened_as(path, *sorted(set(FORMATS.values()))) as image:
            return f" of its suffix: it is {image.format}; rename it"
    except Exception:
        return ""
