"""One published figure against ours: intervals over seeds, and in words what is beyond them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

COLUMNS: Mapping[str, str] = {
    "paper": "paper protocol (selected on test)",
    "fixed": "the paper's n and scale",
    "literal": "the same, literal epsilons",
    "holdout": "held out",
}
"""How our values came about: searched on test; not searched, on the originals of ``paper``; searched on validation."""
UNSEARCHED = ("fixed", "literal")


class Spread(NamedTuple):
    """Mean over seeds, its 95 % interval, and the range in which 95 % of single runs fall; t distribution."""

    mean: float
    low: float
    high: float
    run_low: float
    run_high: float


@dataclass(frozen=True)
class Line:
    """One figure: as published (None: not printed) and ours by column and seed, all in the unit of ``kind``."""

    label: str
    kind: str
    """``percent`` and ``points`` are fractions here; ``count``, ``squared``, ``micros``, ``ratio``, ``p``."""
    published: float | None
    ours: Mapping[str, Sequence[float]]
    cause: str = ""
    """What is known to make ours differ."""


@dataclass(frozen=True)
class Table:
    """A published table beside ours."""

    name: str
    title: str
    lines: Sequence[Line]
    notes: Sequence[str] = field(default_factory=tuple)


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and intervals of ``values`` (S,); None for fewer than two."""
    from scipy.special import stdtrit

    count = len(values)
    if count < 2:
        return None
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    t = float(stdtrit(count - 1, 0.975))
    half, wide = t * deviation / count**0.5, t * deviation * (1 + 1 / count) ** 0.5
    return Spread(mean, mean - half, mean + half, mean - wide, mean + wide)


FORMATS: Mapping[str, Callable[[float], str]] = {
    "percent": lambda v: f"{100 * v:.2f}",
    "points": lambda v: f"{100 * v:+.2f}",
    "count": lambda v: f"{v:,.1f}".removesuffix(".0"),
    "squared": lambda v: f"{v:.2e}",
    "micros": lambda v: f"{v:.1f}",
    "ratio": lambda v: f"{v:.2f}",
    "p": lambda v: f"{v:.4f}",
}
UNITS: Mapping[str, str] = {"percent": " points", "points": " points", "micros": " µs"}
ROUNDING: Mapping[str, float] = {"percent": 5e-5, "points": 1e-4, "count": 0.5, "micros": 0.05, "ratio": 0.005}
"""What a published figure may be off by because it was rounded; gains are differences of two."""


def show(value: float | None, kind: str) -> str:
    """A value in the unit that a reader expects."""
    return "" if value is None else FORMATS[kind](value)


def show_ours(values: Sequence[float], kind: str) -> str:
    """Mean and its interval; without the interval where all seeds agree or there is only one."""
    if not len(values):
        return ""
    found = spread(values)
    if found is None or found.low == found.high:
        return show(float(np.mean(values)), kind)
    low, high = within(found.low, kind), within(found.high, kind)
    return f"{show(found.mean, kind)} ({show(low, kind)} to {show(high, kind)})"


def within(bound: float, kind: str) -> float:
    """``bound`` moved to where values of this kind can lie."""
    return float(np.clip(bound, -np.inf if kind == "points" else 0.0, 1.0 if kind == "percent" else np.inf))


def difference(line: Line, column: str = "paper") -> str | None:
    """One sentence where the published figure lies outside our interval; None where it does not or cannot be told."""
    found = spread(line.ours.get(column, ()))
    slack = ROUNDING.get(line.kind, 0.0)
    if line.published is None or found is None or found.low - slack <= line.published <= found.high + slack:
        return None
    gap = line.published - found.mean
    size = show(abs(gap), line.kind).removeprefix("+") + UNITS.get(line.kind, "")
    text = f"{line.label}: published {size} {'above' if gap > 0 else 'below'} our mean"
    if found.low < found.high:
        low, high = (show(within(v, line.kind), line.kind) for v in (found.run_low, found.run_high))
        inside = found.run_low - slack <= line.published <= found.run_high + slack
        text += f"; 95 % of single runs of ours lie in {low} to {high}, " + (
            "so that one other seed explains it" if inside else "so that another seed alone does not explain it"
        )
    if line.cause:
        text += f"; {line.cause}"
    return text + "."
