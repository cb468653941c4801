"""What a choice has to keep: a budget of OA, or a floor of TA."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


def demand_of(budget: float, recall: float | None) -> Demand:
    """What a suite's tables are about: the floor where one is asked for, else the budget."""
    return float(budget) if recall is None else Floor(recall)
