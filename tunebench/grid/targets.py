"""Which classes a grid is about: names resolved once, from validation, before any tuner runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tunebench.errors import DataError, UsageError
from tunebench.naming import unknown_name


def resolve_targets(patterns: Iterable[str], originals: Sequence[dict[str, Any]], place: str) -> list[str]:
    """Targets such as ``"5"`` or ``"3+5"`` for the names that a user gave, in the order given, without repeats.

    ``originals`` are the records of all seeds of one data set and model; ``weakest`` is the class with the lowest
    validation accuracy averaged over them. ``place`` names data set and model in errors.
    """
    hits = np.array([record["valid_hits"] for record in originals], dtype=float)
    totals = np.array([record["valid_totals"] for record in originals])
    classes = totals.shape[1]
    with np.errstate(invalid="ignore"):
        accuracy = (hits / totals).mean(axis=0)
    by_weakness = [int(c) for c in np.argsort(accuracy, kind="stable") if not np.isnan(accuracy[c])]
    found: list[str] = []
    for pattern in patterns:
        found += expand(pattern, by_weakness, classes, place)
    for target in found:
        for part in target.split("+"):
            if int(totals[:, int(part)].min()) == 0:
                counts = totals.min(axis=0).tolist()
                raise DataError(
                    f"{place}: class {part} has no validation sample; samples per class: {counts}; name another class"
                )
    return list(dict.fromkeys(found))


def check_targets(patterns: Iterable[str], classes: int, place: str) -> None:
    """UsageError for a target that no original can give a meaning to: known before anything is trained."""
    for pattern in patterns:
        expand(pattern, list(range(classes)), classes, place)


def expand(pattern: str, by_weakness: list[int], classes: int, place: str) -> list[str]:
    """The targets that one name stands for."""
    weakest = re.fullmatch(r"weakest(?::(\d+))?", pattern)
    if weakest:
        count = int(weakest[1] or 1)
        if not 1 <= count <= len(by_weakness):
            raise UsageError(f"target {pattern!r}: {place} has {len(by_weakness)} classes")
        return [str(c) for c in by_weakness[:count]]
    if pattern == "all":
        return [str(c) for c in range(classes)]
    if not re.fullmatch(r"\d+(\+\d+)*", pattern):
        hint = unknown_name("target", pattern, ("weakest", "weakest:2", "all"))
        raise UsageError(f"{hint} (or a class from 0 to {classes - 1}, or several joined by +)")
    numbers = sorted({int(part) for part in pattern.split("+")})
    if numbers[-1] >= classes:
        raise UsageError(f"target {pattern!r}: {place} has classes 0 to {classes - 1}")
    return ["+".join(map(str, numbers))]
