"""What a report shows of a candidate beyond its figures: every class, what it costs, how its search went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunebench.own.comparison import Comparison
from tunebench.own.pick import Line
from tunebench.results.metrics import count, per_class_accuracy
from tunebench.results.predictions import predictions_of
from tunebench.selection.budgets import allowance

COSTS = ("params", "flops", "bytes")


def of_line(line: Line, comparison: Comparison) -> dict[str, Any]:
    """``classes``, ``cost`` and ``search`` of a candidate; empty for one that failed."""
    if line.status != "ok":
        return {}
    record, demand = comparison.records[line.tuner], str(comparison.wish.demand)
    cost = record["points"][line.variant][demand]["cost"]
    return {
        "classes": by_class(record, line.variant, demand, comparison.names),
        "cost": {name: cost[name] for name in COSTS},
        "search": best_so_far(record["history"], comparison),
    }


def by_class(record: Mapping[str, Any], variant: str, demand: str, names: Sequence[str]) -> dict[str, float]:
    """Change of the recall of every class that there are samples of, as a fraction, by the class's name."""
    labels, original, tuned = predictions_of(record, variant, demand)
    before, after = (per_class_accuracy(count(labels, found, len(names))) for found in (original, tuned))
    return {name: float(b - a) for name, a, b in zip(names, before, after, strict=True) if not np.isnan(a)}


def best_so_far(history: Sequence[Mapping[str, Any]], comparison: Comparison) -> list[int]:
    """After every trial, the original's being the first, the target samples that the best one in the budget gained.

    Empty under a floor of TA, where the best is not the one with most of them.
    """
    task, wish = comparison.task, comparison.wish
    if wish.recall is not None:
        return []
    right, mine = task.logits_valid.argmax(1) == task.y_valid, task.y_valid == task.target
    hits, least = int((right & mine).sum()), int(right.sum()) - allowance(wish.budget, len(right))
    steps = [step["score"][0] - hits if step["score"][1] >= least else 0 for step in history]
    return [int(value) for value in np.maximum.accumulate([0, *steps])]
