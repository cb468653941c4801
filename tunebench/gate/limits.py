"""What may get worse by how much, as written on the command line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from tunebench.boards.leaderboard import COLUMNS
from tunebench.errors import UsageError
from tunebench.glossary import column
from tunebench.naming import unknown_name

DEFAULT_LIMITS = ("ta:-0.5pt", "oa:-0.2pt")
OF_A_GRID = {"rank", "rank_shifted", "seeds", "seeds_planned", "ta_low", "ta_high", "ta_gain_low", "ta_gain_high",
             "ta_over_bias", "ta_over_bias_shifted"}  # fmt: skip
"""Columns that one seed of one tuner does not have; nor has it a p value."""
WORDS = ("name", "p")
"""Units of what has no bad direction."""
REACH = {"percent": 100, "points": 200, "share": 100, "fine share": 100}
"""Units of fractions, with the points that such a column can move at all."""
BETTER_HIGH = {"percent", "points"}
"""Units of what is better the more there is of it; of everything else it is the less."""


@dataclass(frozen=True)
class Limit:
    """How far a column may move in its bad direction, such as ``ta:-0.5pt``."""

    column: str
    change: float
    """Signed: the sign is the bad direction, the size what is still allowed."""
    unit: str
    """``pt``: percentage points of a fraction; ``%``: of the baseline's value; empty: the column's own unit."""

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read ``COLUMN:+N%``, ``COLUMN:-Npt`` or ``COLUMN:+N``; UsageError for what cannot be meant."""
        match = re.fullmatch(r"\s*(\w+)\s*:\s*([+-])(\d+(?:\.\d*)?|\.\d+)\s*(pt|%|)\s*", text, re.ASCII)
        if not match:
            raise UsageError(
                f"--fail-if {text!r}: write COLUMN:CHANGE with a sign for the bad direction, such as ta:-0.5pt or "
                "latency_ratio:+5%"
            )
        name, sign, size, unit = match.groups()
        numeric = [name for name in COLUMNS if column(name).unit not in WORDS and name not in OF_A_GRID]
        if name not in numeric:
            raise unknown_name("column of --fail-if", name, numeric)
        wrong = fault(name, sign, size, unit)
        if wrong:
            raise UsageError(f"--fail-if {text!r}: {wrong}")
        return cls(name, float(sign + size), unit)

    def __str__(self) -> str:
        return f"{self.change:+g}{self.unit}"

    @property
    def sign(self) -> float:
        """The bad direction, 1 or -1."""
        return math.copysign(1.0, self.change)

    def moved(self, before: float, now: float) -> float:
        """Signed change from ``before`` to ``now`` in the limit's unit."""
        if self.unit == "%":
            return 0.0 if now == before else 100 * (now - before) / abs(before) if before else (now - before) * math.inf
        return (now - before) * (100 if self.unit == "pt" else 1)

    def broken(self, before: float, now: float, slack: float = 0.0) -> bool:
        """Whether the change goes beyond the limit by more than ``slack`` (in its unit) and rounding."""
        return self.sign * self.moved(before, now) > abs(self.change) + slack + 1e-9


def fault(name: str, sign: str, size: str, unit: str) -> str | None:
    """Why the limit ``name:sign size unit`` cannot be meant, and what to write instead; None if it can."""
    kind, number = column(name).unit, f"{sign}{size}"
    bad = "-" if kind in BETTER_HIGH else "+"
    if is_time(name) and unit != "%":
        return f"a time is compared as a ratio; write {name}:+5%"
    if sign != bad:
        moves = {"-": "falls", "+": "rises"}[bad]
        return f"{name} is worse when it {moves}, so this would never fire; write {name}:{bad}{size}{unit}"
    if kind in REACH and not unit:
        return (
            f"{name} is a fraction; write {name}:{number}pt for percentage points or {name}:{number}% of the baseline"
        )
    if unit == "pt" and kind not in REACH:
        return f"{name} is no fraction, so it has no points; write {name}:{number} or {name}:{number}%"
    falls_to_nothing = unit == "%" and bad == "-" and kind != "points" and float(size) >= 100
    if falls_to_nothing or (unit == "pt" and float(size) >= REACH[kind]):
        return f"{name} cannot move that far, so this would never fire; write less"
    return None


def is_time(column: str) -> bool:
    """Whether a column varies between two runs of the same suite."""
    return column.endswith("_seconds") or "latency" in column


def is_absolute_time(column: str) -> bool:
    """Whether a column is a time in seconds or microseconds, which says nothing on another machine."""
    return is_time(column) and "ratio" not in column
