"""Data sets by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from tunebench.datasets.archives import image_folder
from tunebench.datasets.base import Dataset, DatasetSource, Place, opened
from tunebench.datasets.digits import Digits
from tunebench.datasets.files import Npz
from tunebench.datasets.vision import SOURCES
from tunebench.errors import UsageError
from tunebench.naming import spelt_out, unknown_name

_BUNDLED: Mapping[str, DatasetSource] = {source.name: source for source in (Digits(), *SOURCES)}
_FROM_PATH: Mapping[str, Callable[[Path], DatasetSource]] = {"npz": Npz, "imagefolder": image_folder}


def dataset_names() -> tuple[str, ...]:
    """The bundled names, sorted; ``npz:FILE`` and ``imagefolder:DIR`` come on top."""
    return tuple(sorted(_BUNDLED))


def expand_datasets(patterns: Iterable[str], extra: Iterable[str] = ()) -> list[str]:
    """Names of data sets for names and globs of bundled ones and ``extra``; UsageError for a glob without a match."""
    known = [*_BUNDLED, *extra]
    return spelt_out(patterns, known, lambda pattern: unknown_name("data set", pattern, known))


def open_dataset(name: str, place: Place, extra: Mapping[str, DatasetSource] = MappingProxyType({})) -> Dataset:
    """Load and check the data set ``name``.

    It is a bundled one, one of ``extra``, ``npz:FILE`` or ``imagefolder:DIR``, with a path of here or of the data
    folder. Raises `UsageError` for a name that is none of these, `DataError` for data that is missing or unfit.
    """
    sources = {**extra, **_BUNDLED}
    if name in sources:
        return opened(name, sources[name], place)
    prefix, colon, path = name.partition(":")
    if colon and path and prefix in _FROM_PATH:
        return opened(name, _FROM_PATH[prefix](located(Path(path).expanduser(), place)), place)
    near = difflib.get_close_matches(name, sources, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(sorted(sources))}"
    raise UsageError(f"unknown data set {name!r}; {hint} (or npz:FILE, imagefolder:DIR)")


def located(path: Path, place: Place) -> Path:
    """``path``, or the one of that name in the data folder where here is none: what a suite names is true anywhere."""
    elsewhere = path if place.data_dir is None else place.data_dir / path
    return elsewhere if elsewhere.exists() and not path.exists() else path
