"""Checks of JSON values from strangers: small ones, and ways to put them together."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from tunebench.naming import CONTROL

Check = Callable[[Any, str], None]
"""Raises `Damaged` with the name given unless a value is as it should be."""

DEPTH, LARGEST = 12, 2**53
SPARE = 64
"""Fields of an object that a later version may have added."""


class Damaged(Exception):
    """A file of the store that cannot be used; its text says why in one line."""


def number(low: float, high: float) -> Check:
    """A finite number from ``low`` to ``high``."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise Damaged(f"{name} is no number from {low:g} to {high:g}")

    return check


def integer(low: int, high: int = LARGEST) -> Check:
    """A whole number from ``low`` to ``high``."""

    def check(value: Any, name: str) -> None:
        if type(value) is not int or not low <= value <= high:
            raise Damaged(f"{name} is no whole number from {low} to {high}")

    return check


def text(pattern: re.Pattern[str] | None = None) -> Check:
    """A string, matching ``pattern`` if there is one."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, str) or (pattern is not None and not pattern.fullmatch(value)):
            raise Damaged(f"{name} is not a text as it should be")

    return check


def optional(inner: Check) -> Check:
    """None, or what ``inner`` allows."""

    def check(value: Any, name: str) -> None:
        if value is not None:
            inner(value, name)

    return check


def flag(value: Any, name: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise Damaged(f"{name} is neither true nor false")


def fields(later: Mapping[str, Check] = MappingProxyType({}), /, **checks: Check) -> Check:
    """An object with at least these fields; those in ``later`` came with a later version and may be missing."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise Damaged(f"{name} is no object")
        for field, inner in checks.items():
            if field not in value:
                raise Damaged(f"{name} lacks {field!r}")
            inner(value[field], f"{name}.{field}")
        for field in later.keys() & value.keys():
            later[field](value[field], f"{name}.{field}")
        if len(value) > len(checks) + len(later) + SPARE:
            raise Damaged(f"{name} has more than {SPARE} fields that nobody knows")

    return check


def exactly(inner: Check, known: Iterable[str]) -> Check:
    """What ``inner`` allows, without a field that is not ``known``."""
    names = frozenset(known)

    def check(value: Any, name: str) -> None:
        inner(value, name)
        if not value.keys() <= names:
            raise Damaged(f"{name} has a field beside {', '.join(sorted(names))}")

    return check


def table(key: re.Pattern[str], inner: Check) -> Check:
    """An object whose names match ``key`` and whose values ``inner`` allows."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, dict) or not all(key.fullmatch(k) for k in value):
            raise Damaged(f"{name} is no object with names as they should be")
        for item in value.values():
            inner(item, name)

    return check


def listing(inner: Check, length: int | None = None) -> Check:
    """A list of what ``inner`` allows, of any length or of that ``length``."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, list) or length not in (None, len(value)):
            raise Damaged(f"{name} is no list" + (f" of {length}" if length else ""))
        for item in value:
            inner(item, name)

    return check


def distinct(inner: Check) -> Check:
    """A list of what ``inner`` allows, nothing twice."""
    every = listing(inner)

    def check(value: Any, name: str) -> None:
        every(value, name)
        if len(set(value)) != len(value):
            raise Damaged(f"{name} names something twice")

    return check


def scalar(value: Any, name: str) -> None:
    """What a hyperparameter can be."""
    if not isinstance(value, str | int | float | bool | None):
        raise Damaged(f"{name} is no plain value")


def one_of(*values: Any) -> Check:
    """One of ``values``."""

    def check(value: Any, name: str) -> None:
        if not any(type(value) is type(known) and value == known for known in values):
            raise Damaged(f"{name} is none of {', '.join(map(str, values))}")

    return check


def plain(value: Any) -> None:
    """`Damaged` unless ``value`` is JSON of moderate depth, its numbers finite and its texts printable.

    Level by level and kind by kind: a record holds a thousand values, a board half a million.
    """
    level = [value]
    for _ in range(DEPTH + 1):
        kinds: dict[type, list[Any]] = {}
        for item in level:
            kinds.setdefault(type(item), []).append(item)
        if CONTROL.search("".join(kinds.get(str, ()))):
            raise Damaged("holds a text with control characters")
        if not all(map(math.isfinite, kinds.get(float, ()))):
            raise Damaged("holds a number that is not finite")
        if any(abs(number) > LARGEST for number in kinds.get(int, ())):
            raise Damaged("holds a number that is too large")
        objects, lists = kinds.get(dict, ()), kinds.get(list, ())
        level = [*itertools.chain(*objects, *(item.values() for item in objects), *lists)]
        if not level:
            return
    raise Damaged(f"is nested more than {DEPTH} deep")
