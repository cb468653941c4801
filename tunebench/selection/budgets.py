"""What a choice has to keep: a budget of OA, or a floor of TA."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BUDGETS = (0.0, 0.1, 0.2, 0.5, 1.0)
"""The OA budgets that every trade-off curve is read at, in percentage points of OA on the selection split."""


@dataclass(frozen=True, order=True)
class Floor:
    """The least TA, a fraction: the dual of a budget, at the least loss of OA."""

    recall: float

    def __str__(self) -> str:
        return f"recall {self.recall}"

    def least(self, samples: int) -> int:
        """Of ``samples`` target samples, how many have to be right."""
        return math.ceil(self.recall * samples - 1e-9)


Demand = float | Floor
"""What a choice has to keep: an OA budget in percentage points, or a `Floor`. Its text names it in records."""


def allowance(budget: float, samples: int) -> int:
    """How many of ``samples`` an OA budget (percentage points) allows to lose."""
    return math.floor(budget * samples / 100 + 1e-9)


def demand_of(budget: float, recall: float | None) -> Demand:
    """What a suite's tables are about: the floor where one is asked for, else the budget."""
    return float(budget) if recall is None else Floor(recall)


def named(suite: Mapping[str, Any]) -> str:
    """The name in records of what a resolved suite's tables are about; old suites know budgets alone."""
    return str(demand_of(suite["budget"], suite.get("recall")))


def broken(loss: float, recall: float, demand: str) -> bool:
    """Whether a realised loss of OA exceeds the budget named, or a realised TA misses the floor; fractions."""
    kind, _, limit = demand.rpartition(" ")
    return recall < float(limit) - 1e-12 if kind == "recall" else loss > float(limit) / 100 + 1e-12
