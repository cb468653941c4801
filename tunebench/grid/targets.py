"""Which classes a grid is about: names resolved once, from validation, before any tuner runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from tunebench.errors import DataError, UsageError
from tunebench.naming import unknown_name
from tunebench.selection.constraints import protect_text

KEYWORDS = ("weakest", "weakest:2", "all")
SHOWN = 12
"""Names of classes that an error lists."""


def resolve_targets(
    patterns: Iterable[str],
    originals: Sequence[dict[str, Any]],
    names: Sequence[str],
    place: str,
    tested: Sequence[int] | None = None,
) -> list[str]:
    """Targets such as ``"5"`` or ``"3+5"`` for what a user typed, in the order given, without repeats.

    ``originals`` are the records of all seeds of one data set and model; ``weakest`` is the class with the lowest
    validation accuracy averaged over them. ``names`` are those of the classes, ``place`` names data set and model in
    errors. A class without a test sample, where ``tested`` counts none, is never the weakest.
    """
    hits = np.array([record["valid_hits"] for record in originals], dtype=float)
    totals = np.array([record["valid_totals"] for record in originals])
    with np.errstate(invalid="ignore"):
        accuracy = (hits / totals).mean(axis=0)
    by_weakness = [
        int(c)
        for c in np.argsort(accuracy, kind="stable")
        if not np.isnan(accuracy[c]) and (tested is None or tested[c])
    ]
    found: list[str] = []
    for pattern in patterns:
        found += expand(pattern, by_weakness, names, place)
    for target in found:
        for part in map(int, target.split("+")):
            if int(totals[:, part].min()) == 0:
                counts = totals.min(axis=0).tolist()
                raise DataError(
                    f"{place}: class {names[part]} has no validation sample; samples per class: {counts}; "
                    "name another class"
                )
    return list(dict.fromkeys(found))


def check_targets(
    patterns: Iterable[str],
    names: Sequence[str],
    place: str,
    counts: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> int:
    """How many targets there will be at most, known before anything is trained.

    UsageError for a target that no original can give a meaning to, DataError for a class without a sample in one of
    the splits whose samples per class are in ``counts``.
    """
    measured = [c for c in range(len(names)) if all(counted[c] for counted in counts.values())]
    found = {pattern: expand(pattern, measured, names, place) for pattern in patterns}
    for pattern, targets in found.items():
        for part in {} if pattern.startswith("weakest") else {int(p) for target in targets for p in target.split("+")}:
            for split, counted in counts.items():
                if not counted[part]:
                    raise DataError(
                        f"{place}: class {names[part]} has no sample in {split}; samples per class: "
                        f"{listed([f'{name} {n}' for name, n in zip(names, counted, strict=True)])}; name another class"
                    )
    return sum(map(len, found.values()))


def resolve_protect(
    texts: Iterable[str],
    names: Sequence[str],
    place: str,
    targets: Iterable[str] = (),
    counts: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> str:
    """What texts such as ``cat`` or ``cat:0.5`` mean, as `selection.constraints.protected_of` reads it.

    UsageError for a class that there is not or that comes twice, for points out of range, and for a class that is one
    of ``targets`` by name; DataError for one without a sample in validation, where its samples are in ``counts``.
    """
    found: dict[int, float] = {}
    for text in texts:
        head, colon, tail = text.rpartition(":")
        number, points = class_of(text, names), "0"
        if number is None and colon:
            number, points = class_of(head, names), tail
        if number is None:
            hint = unknown_name("protected class", text, names if len(names) <= SHOWN else ["a class"])
            raise UsageError(f"{hint} (write CLASS or CLASS:POINTS, with a class of {listed(names)})")
        if not re.fullmatch(r"\d{1,3}(\.\d{1,9})?", points, re.ASCII) or float(points) > 100:
            raise UsageError(f"protect {text!r}: give points of recall between 0 and 100, such as {head}:0.5")
        if number in found:
            raise UsageError(f"protect names class {names[number]} twice")
        if "validation" in counts and not counts["validation"][number]:
            raise DataError(f"{place}: protected class {names[number]} has no validation sample; nothing would be kept")
        found[number] = float(points)
    named = [target for target in targets if target != "all" and not target.startswith("weakest")]
    for target in named:
        for part in expand(target, [], names, place)[0].split("+"):
            if int(part) in found:
                raise UsageError(f"class {names[int(part)]} is a target and protected; a target is raised already")
    return protect_text(found)


def expand(pattern: str, by_weakness: list[int], names: Sequence[str], place: str) -> list[str]:
    """The targets that one pattern stands for."""
    weakest = re.fullmatch(r"weakest(?::(\d+))?", pattern)
    if weakest:
        count = int(weakest[1] or 1)
        if not 1 <= count <= len(by_weakness):
            raise UsageError(f"target {pattern!r}: {place} has {len(by_weakness)} classes")
        return [str(c) for c in by_weakness[:count]]
    if pattern == "all":
        return [str(c) for c in range(len(names))]
    whole = class_of(pattern, names)
    parts = [whole] if whole is not None else [class_of(part, names) for part in pattern.split("+")]
    numbers = sorted({part for part in parts if part is not None})
    if None not in parts:
        return ["+".join(map(str, numbers))]
    if re.fullmatch(r"\d+(\+\d+)*", pattern):
        raise UsageError(f"target {pattern!r}: {place} has classes {listed(names)}")
    hint = unknown_name("target", pattern, (*KEYWORDS, *names) if len(names) <= SHOWN else KEYWORDS)
    raise UsageError(f"{hint} (or a class of {listed(names)}, or several joined by +)")


def class_of(text: str, names: Sequence[str]) -> int | None:
    """Number of the class that ``text`` means: its name, or else its number, where numbers are no names; or None."""
    if text in names:
        return list(names).index(text)
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or all(re.fullmatch(r"-?\d+", name) for name in names):
        return None
    return int(text) if int(text) < len(names) else None


def listed(names: Sequence[str]) -> str:
    """The names of classes in a few words."""
    if list(names) == [str(number) for number in range(len(names))]:
        return f"0 to {len(names) - 1}"
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
