"""What may get worse by how much, as written on the command line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from tunebench.boards.leaderboard import COLUMNS
from tunebench.errors import UsageError
from tunebench.naming import unknown_name

DEFAULT_LIMITS = ("ta:-0.5pt", "oa:-0.2pt")
TEXTS = {"dataset", "model", "target", "tuner", "status", "reason", "group", "group_shifted", "worst_class"}
OF_A_GRID = {"rank", "rank_shifted", "seeds", "seeds_planned", "ta_low", "ta_high", "ta_gain_low", "ta_gain_high"}
"""Columns that one seed of one tuner does not have."""


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
        """Read ``COLUMN:+N%``, ``COLUMN:-Npt`` or ``COLUMN:+N``; UsageError for anything else."""
        match = re.fullmatch(r"\s*(\w+)\s*:\s*([+-]\d+(?:\.\d*)?|[+-]\.\d+)\s*(pt|%|)\s*", text)
        if not match:
            raise UsageError(
                f"--fail-if {text!r}: write COLUMN:CHANGE with a sign for the bad direction, such as ta:-0.5pt or "
                "latency_ratio:+5%"
            )
        numeric = [name for name in COLUMNS if name not in TEXTS | OF_A_GRID]
        if match[1] not in numeric:
            raise unknown_name("column of --fail-if", match[1], numeric)
        if is_time(match[1]) and match[3] != "%":
            raise UsageError(f"--fail-if {text!r}: a time is compared as a ratio; write {match[1]}:+5%")
        return cls(match[1], float(match[2]), match[3])

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


def is_time(column: str) -> bool:
    """Whether a column varies between two runs of the same suite."""
    return column.endswith("_seconds") or "latency" in column


def is_absolute_time(column: str) -> bool:
    """Whether a column is a time in seconds or microseconds, which says nothing on another machine."""
    return is_time(column) and "ratio" not in column
