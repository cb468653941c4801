"""Within one block: ranks, intervals, tie groups and every pairwise test, from stored predictions; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tunebench.boards.statistics import interval, mcnemar, paired_t, pairwise, tie_groups
from tunebench.results.predictions import predictions_of

Row = dict[str, Any]
Block = tuple[str, str, str]
"""Data set, model, target: what tuners are compared within."""


def place_of(block: Block) -> Row:
    """The columns that name a block."""
    return dict(zip(("dataset", "model", "target"), block, strict=True))


def compare(block: Block, rows: list[Row], complete: dict[str, list[Row]], budget: str) -> list[Row]:
    """Fill in intervals, ranks and tie groups of the complete rows; returns every pairwise comparison.

    Plain and shifted variants are ranked separately.
    """
    pairs: list[Row] = []
    if not complete:
        return pairs
    by_tuner = {row["tuner"]: row for row in rows}
    tuners = sorted(complete)
    targets = [int(part) for part in block[2].split("+")]
    for variant, suffix in (("plain", ""), ("shifted", "_shifted")):
        correct, original, labels = correctness(tuners, complete, variant, budget)
        order = sorted(range(len(tuners)), key=lambda i: (-by_tuner[tuners[i]]["ta" + suffix], tuners[i]))
        ta = [round(by_tuner[tuners[i]]["ta" + suffix], 12) for i in order]
        for place, i in enumerate(order):
            by_tuner[tuners[i]]["rank" + suffix] = 1 + ta.index(ta[place])
        on_ta, on_oa = (pairwise(correct, labels, which) for which in (targets, None))
        if on_ta is None or on_oa is None:
            continue
        for i, letters in zip(order, tie_groups(order, on_ta.p_holm), strict=True):
            by_tuner[tuners[i]]["group" + suffix] = letters
        for i in range(len(tuners)):
            for j in range(i + 1, len(tuners)):
                pairs.append(
                    place_of(block)
                    | {
                        "variant": variant,
                        "tuner_a": tuners[i],
                        "tuner_b": tuners[j],
                        "ta_difference": float(on_ta.difference[i, j]),
                        "ta_low": float(on_ta.low[i, j]),
                        "ta_high": float(on_ta.high[i, j]),
                        "ta_p_holm": float(on_ta.p_holm[i, j]),
                        "oa_difference": float(on_oa.difference[i, j]),
                        "oa_p_holm": float(on_oa.p_holm[i, j]),
                        **cross_checks(correct[i], correct[j], np.isin(labels, targets)),
                    }
                )
        if variant == "plain":
            add_intervals(by_tuner, tuners, np.concatenate([correct, original[None]]), labels, targets)
    return pairs


def cross_checks(first: Any, second: Any, of_target: Any) -> Row:
    """Simpler tests of one pair beside the main one, not adjusted for their number.

    Exact McNemar for each seed's pair of networks, on the target images for TA and on all for OA, and a paired t
    over seeds. ``first`` and ``second`` are (S, N), ``of_target`` (N,), all bool.
    """
    difference = first[:, of_target].mean(axis=1) - second[:, of_target].mean(axis=1)
    return {
        "ta_mcnemar": [mcnemar(a[of_target], b[of_target]) for a, b in zip(first, second, strict=True)],
        "oa_mcnemar": [mcnemar(a, b) for a, b in zip(first, second, strict=True)],
        "ta_paired_t": paired_t(difference),
    }


def add_intervals(
    by_tuner: dict[str, Row], tuners: Sequence[str], correct: Any, labels: Any, targets: Sequence[int]
) -> None:
    """95 % intervals of TA and of its gain over the original, which is the last of ``correct`` (T + 1, S, N)."""
    level = interval(correct, labels, targets)
    against = pairwise(correct, labels, targets)
    assert level is not None
    assert against is not None
    gain = against.gains(len(tuners))
    for i, tuner in enumerate(tuners):
        by_tuner[tuner] |= {
            "ta_low": float(level.low[i]),
            "ta_high": float(level.high[i]),
            "ta_gain_low": float(gain.low[i]),
            "ta_gain_high": float(gain.high[i]),
        }


def correctness(
    tuners: Sequence[str], complete: dict[str, list[Row]], variant: str, budget: str
) -> tuple[Any, Any, Any]:
    """Whether each tuner (T, S, N) and each seed's original (S, N) is right on each test image; labels (N,)."""
    tuned, untuned = [], []
    labels: Any = None
    for tuner in tuners:
        seeds = []
        for record in complete[tuner]:
            labels, original, predictions = predictions_of(record, variant, budget)
            seeds.append(predictions == labels)
            if tuner == tuners[0]:
                untuned.append(original == labels)
        tuned.append(seeds)
    return np.array(tuned), np.array(untuned), labels
