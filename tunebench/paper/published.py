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


STAND_INS: dict[str, Figures] = {
    "npz:emnist47-reduced.npz": {
        "title": "EMNIST, 47 classes, reduced",
        "published": "emnist-balanced",
        "note": "EMNIST, 47 classes, reduced, is not EMNIST Balanced, whose published figures stand beside it: 36,049 "
        "training and 7,050 test images of the same 47 classes instead of 112,800 and 18,800, and originals that are "
        "trained to the end.",
    }
}
"""Data sets that stand beside the published figures of another one, under their own name."""


def dataset_names() -> tuple[str, ...]:
    """The paper's data sets, in its order, then those that stand in for one."""
    return (*published()["datasets"], *STAND_INS)


def of_dataset(table: str, dataset: str) -> Figures:
    """The published figures of ``table`` that stand beside ours of a data set."""
    figures: Figures = published()[table][STAND_INS.get(dataset, {}).get("published", dataset)]
    return figures


def info_of(dataset: str) -> Figures:
    """Title, target and its test images as published; a stand-in has a title of its own, and a ``note``."""
    return of_dataset("datasets", dataset) | STAND_INS.get(dataset, {})
