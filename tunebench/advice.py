"""Which tuner to pick at which OA budget, averaged over the blocks of a run; no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from tunebench.comparison import Row


def advise(curves: Iterable[Row]) -> list[Row]:
    """For every OA budget the two leaders by mean test TA gain over all blocks, plain and shifted variants together.

    ``curves`` are the rows of `tunebench.leaderboard.Leaderboard.curves`. A variant that is not complete in every
    block does not take part. ``ahead`` is the number of blocks in which the first beats the second; ``oa_loss`` and
    ``over_budget`` are the first's realised loss on test and the share of cells in which it exceeded the budget.
    """
    by_budget: dict[float, dict[tuple[str, str], list[Row]]] = defaultdict(lambda: defaultdict(list))
    blocks = set()
    for curve in curves:
        by_budget[curve["budget"]][curve["tuner"], curve["variant"]].append(curve)
        blocks.add((curve["dataset"], curve["model"], curve["target"]))
    advice = []
    for budget, variants in sorted(by_budget.items()):
        gains = {name: column(rows, "ta_gain") for name, rows in variants.items() if len(rows) == len(blocks)}
        if len(gains) < 2:
            continue
        first, second = sorted(gains, key=lambda name: (-gains[name].mean(), name))[:2]
        rows = variants[first]
        advice.append(
            {
                "budget": budget,
                "first": label(first),
                "ta_gain": float(gains[first].mean()),
                "oa_loss": float(column(rows, "oa_loss").mean()),
                "over_budget": float(column(rows, "over_budget").mean()),
                "second": label(second),
                "behind": float(gains[first].mean() - gains[second].mean()),
                "ahead": int((gains[first] > gains[second]).sum()),
                "blocks": len(blocks),
            }
        )
    return advice


def column(rows: Sequence[Row], name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """One value of every block, in the same order for every tuner."""
    ordered = sorted(rows, key=lambda row: (row["dataset"], row["model"], row["target"]))
    return np.array([row[name] for row in ordered], dtype=np.float64)


def label(name: tuple[str, str]) -> str:
    """How a table names a tuner's variant."""
    tuner, variant = name
    return tuner if variant == "plain" else f"{tuner}, shifted"
