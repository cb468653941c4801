"""Over all blocks of a run: every tuner's means, and which one to pick at which OA budget; no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from tunebench.boards.comparison import Row


def advise(curves: Iterable[Row]) -> list[Row]:
    """For every OA budget the two leaders by mean test TA gain over all blocks, each with its best variant.

    ``curves`` are the rows of `Leaderboard.curves`. Certified is left to `tunebench.boards.promises`, and a variant
    that is not complete in every block does not take part; of equal ones it is the first, which has the fewest
    extras. ``ahead`` is the number of blocks in which the first beats the second; ``oa_loss`` and ``over_budget``
    are the first's realised loss on test and the share of cells in which it exceeded the budget.
    """
    by_budget: dict[float, dict[tuple[str, str], list[Row]]] = defaultdict(lambda: defaultdict(list))
    blocks = set()
    for curve in curves:
        if curve["variant"] == "certified":
            continue
        by_budget[curve["budget"]][curve["tuner"], curve["variant"]].append(curve)
        blocks.add((curve["dataset"], curve["model"], curve["target"]))
    advice = []
    for budget, variants in sorted(by_budget.items()):
        gains = {name: column(rows, "ta_gain") for name, rows in variants.items() if len(rows) == len(blocks)}
        best: dict[str, tuple[str, str]] = {}
        for name in gains:
            tuner, _ = name
            best[tuner] = max(best.get(tuner, name), name, key=lambda it: round(float(gains[it].mean()), 12))
        if len(best) < 2:
            continue
        first, second = sorted(best.values(), key=lambda name: (-gains[name].mean(), name))[:2]
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


AVERAGED = (
    "ta_gain", "oa_gain", "over_budget", "area", "ta_gain_shifted", "oa_gain_shifted", "over_budget_shifted", "rank",
    "rank_shifted", "tune_seconds", "latency_ratio", "ta_gain_interpolated", "oa_gain_interpolated",
)  # fmt: skip
"""Columns of a leaderboard whose means over blocks `summarise` gives."""


def summarise(rows: Sequence[Row]) -> list[Row]:
    """Means over all blocks of `AVERAGED`, best mean TA gain first; only tuners that are ranked in every block.

    Every block weighs the same. A time or latency that some block lacks is None.
    """
    blocks = {(row["dataset"], row["model"], row["target"]) for row in rows}
    by_tuner: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["rank"] is not None:
            by_tuner[row["tuner"]].append(row)
    summary = []
    for tuner, mine in by_tuner.items():
        if len(mine) == len(blocks):
            means = {name: mean_or_none([row[name] for row in mine]) for name in AVERAGED}
            summary.append({"tuner": tuner, "blocks": len(blocks), **means})
    return sorted(summary, key=lambda row: (-row["ta_gain"], row["tuner"]))


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """Mean, or None where a value is missing."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def column(rows: Sequence[Row], name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """One value of every block, in the same order for every tuner."""
    ordered = sorted(rows, key=lambda row: (row["dataset"], row["model"], row["target"]))
    return np.array([row[name] for row in ordered], dtype=np.float64)


def label(name: tuple[str, str]) -> str:
    """How a table names a tuner's variant."""
    tuner, variant = name
    return tuner if variant == "plain" else f"{tuner}, {variant}"
