"""What a page and plots show beyond rows: change of every class, where the target's samples go, how searches went."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tunebench.boards.comparison import Block, Row, place_of
from tunebench.boards.leaderboard import complete_blocks
from tunebench.results.metrics import Floats, count, per_class_accuracy
from tunebench.results.predictions import predictions_of
from tunebench.selection.budgets import allowance


def of_run(out: Path, budget: float, demand: str) -> dict[str, list[Row]]:
    """Rows of complete tuners: ``classes`` and ``missed`` for heat maps, ``searches``, and ``sizes`` of networks."""
    found: dict[str, list[Row]] = {"classes": [], "missed": [], "searches": [], "sizes": []}
    for block, complete in complete_blocks(out):
        for tuner, records in complete.items():
            named = place_of(block) | {"tuner": tuner}
            found["searches"] += [named | step for step in best_so_far(records, budget)]
            for variant in shared_variants(records, demand):
                place = named | {"variant": variant}
                found["sizes"].append(place | sizes(records, variant, demand))
                for row in by_class(block, records, variant, demand):
                    found["missed" if row.pop("missed") else "classes"].append(place | row)
    return found


def sizes(records: Sequence[Row], variant: str, demand: str) -> dict[str, float]:
    """Mean over seeds of what the tuned network takes, as far as all records say it."""
    costs = [record["points"][variant][demand]["cost"] for record in records]
    shared = [name for name in ("params", "flops", "bytes") if all(name in cost for cost in costs)]
    return {name: float(np.mean([cost[name] for cost in costs])) for name in shared}


def shared_variants(records: Sequence[Row], demand: str) -> list[str]:
    """The variants that all records have at ``demand``, in order: not every tuner has every one."""
    first, *others = [record["points"] for record in records]
    return [name for name in first if all(demand in points.get(name, ()) for points in (first, *others))]


def by_class(block: Block, records: Sequence[Row], variant: str, budget: str) -> Iterator[Row]:
    """Per class: the change of its recall; and for classes but the targets, the share of target samples taken for it.

    Means over seeds, in percentage points and per cent.
    """
    targets = [int(part) for part in block[2].split("+")]
    classes = records[0]["classes"]
    gains, shares = [], []
    for record in records:
        labels, original, tuned = predictions_of(record, variant, budget)
        before, after = (per_class_accuracy(count(labels, found, classes)) for found in (original, tuned))
        gains.append(after - before)
        taken = tuned[np.isin(labels, targets)]
        shares.append(np.bincount(taken, minlength=classes) / len(taken))
    for name, values in (("change", gains), ("share", shares)):
        means: Floats = 100 * np.mean(values, axis=0)
        for label, value in enumerate(means.tolist()):
            if not (math.isnan(value) or (name == "share" and label in targets)):
                yield {"missed": name == "share", "class": label, "value": round(value, 3)}


def best_so_far(records: Sequence[Row], budget: float) -> Iterator[Row]:
    """After every trial, the target samples that the best candidate within the budget gains; mean over seeds.

    Counted on the split that selects. Trial 0 is the original, so that nothing starts below 0.
    """
    runs = []
    for record in records:
        hits, correct = record["original"]["valid"][:2]
        size = (record["provenance"].get("split") or {"valid": 0})["valid"]
        least = correct - allowance(budget, size)
        steps = [step["score"][0] - hits if step["score"][1] >= least else 0 for step in record["history"]]
        runs.append(np.maximum.accumulate([0, *steps]))
    shared = min(map(len, runs))
    for trial, value in enumerate(np.mean([run[:shared] for run in runs], axis=0).tolist()):
        yield {"trial": trial, "gained": round(value, 2)}
