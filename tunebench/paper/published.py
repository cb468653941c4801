"""The figures that the paper prints, from the one file that holds them."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Any

Figures = dict[str, Any]


@functools.cache
def published() -> Figures:
    """``published.toml`` as nested dicts; units as printed (see the file's head). Do not write to it."""
    return tomllib.loads(resources.files("tunebench.paper").joinpath("published.toml").read_text(encoding="utf-8"))


def dataset_names() -> tuple[str, ...]:
    """The paper's data sets, in its order."""
    return tuple(published()["datasets"])
