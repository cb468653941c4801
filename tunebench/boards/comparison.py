"""Within one block: ranks, intervals, planned contrasts, tie groups and every pair, from predictions; no torch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tunebench.boards.contrasts import ZERO, columns_of, planned_contrasts
from tunebench.boards.contrasts import Row as Row
from tunebench.boards.statistics import (
    Interval,
    all_pairs,
    differences,
    interval,
    mcnemar,
    only_first,
    paired_t,
    tie_groups,
)
from tunebench.results.predictions import predictions_of

Block = tuple[str, str, str]
"""Data set, model, target: what tuners are compared within."""
RANKED = {"plain": "", "shifted": "_shifted"}
"""Variants whose tuners are ranked and tested against each other, with the ending of their columns."""
BLOCK = ["dataset", "model", "target_name"]
"""Columns of a board that name a block to a reader."""


def title(dataset: str, model: str, target: str) -> str:
    """How a page, a plot and a table name a block."""
    return f"{dataset} {model}, class {target}"


def place_of(block: Block) -> Row:
    """The columns that name a block."""
    return dict(zip(("dataset", "model", "target"), block, strict=True))


def target_name(lock: Row, block: Block) -> str:
    """What the user calls a block's target; the numbers of its classes where the lock holds no names."""
    dataset, _, target = block
    names = lock.get("class_names", {}).get(dataset, [])
    numbers = [int(part) for part in target.split("+")]
    return "+".join(names[number] if number < len(names) else str(number) for number in numbers)


def compare(block: Block, rows: list[Row], complete: dict[str, list[Row]], budget: str) -> tuple[list[Row], list[Row]]:
    """Fill in intervals, ranks and tie groups of the complete rows; returns the planned contrasts and all pairs.

    The variants in `RANKED` are ranked separately. Pairs are exploratory: a family of its own, see `contrasts`.
    """
    contrasts: list[Row] = []
    pairs: list[Row] = []
    if not complete:
        return contrasts, pairs
    by_tuner = {row["tuner"]: row for row in rows}
    tuners = sorted(complete)
    targets = [int(part) for part in block[2].split("+")]
    for variant, suffix in RANKED.items():
        correct, original, labels = correctness(tuners, complete, variant, budget)
        order = sorted(range(len(tuners)), key=lambda i: (-by_tuner[tuners[i]]["ta" + suffix], tuners[i]))
        ta = [round(by_tuner[tuners[i]]["ta" + suffix], 12) for i in order]
        for place, i in enumerate(order):
            by_tuner[tuners[i]]["rank" + suffix] = 1 + ta.index(ta[place])
        outcomes = np.concatenate([correct, original[None]])
        in_ta, in_oa = (differences(outcomes, labels, which) for which in (targets, None))
        if in_ta is None or in_oa is None:
            continue
        on_ta, on_oa = (all_pairs(found, len(tuners)) for found in (in_ta, in_oa))
        for i, letters in zip(order, tie_groups(order, on_ta.p_holm), strict=True):
            by_tuner[tuners[i]]["group" + suffix] = letters
        tests = {f"ta_{name}": getattr(on_ta, name) for name in ("difference", "low", "high", "p_holm")}
        tests |= {f"oa_{name}": getattr(on_oa, name) for name in ("difference", "p_holm")}
        tests |= cross_checks(correct, np.isin(labels, targets))
        columns = {name: values.tolist() for name, values in tests.items()}
        pairs += [
            place_of(block)
            | {"variant": variant, "tuner_a": tuners[i], "tuner_b": tuners[j]}
            | {name: values[i][j] for name, values in columns.items()}
            for i, j in itertools.combinations(range(len(tuners)), 2)
        ]
        mine = planned_contrasts(tuners, in_ta, in_oa)
        for contrast in mine:
            figures = columns_of(contrast)
            by_tuner[contrast["tuner"]] |= {name + suffix: value for name, value in figures.items()}
        contrasts += [place_of(block) | {"variant": variant} | contrast for contrast in mine]
        if variant == "plain":
            add_intervals(by_tuner, tuners, interval(correct, labels, targets), mine)
    return contrasts, pairs


def cross_checks(correct: Any, of_target: Any) -> dict[str, Any]:
    """Simpler tests of all pairs beside the main one, not adjusted for their number; arrays (T, T) or (T, T, S).

    Exact McNemar for each seed's pair of networks, on the target images for TA and on all for OA, and a paired t
    over seeds. ``correct`` is (T, S, N), ``of_target`` (N,), both bool.
    """
    mine = correct[:, :, of_target]
    accuracy = mine.mean(axis=-1)
    checks: dict[str, Any] = {}
    for name, outcomes in (("ta_mcnemar", mine), ("oa_mcnemar", correct)):
        alone = only_first(outcomes)
        checks[name] = mcnemar(alone, alone.swapaxes(0, 1))
    return checks | {"ta_paired_t": paired_t(accuracy[:, None] - accuracy)}


def add_intervals(
    by_tuner: dict[str, Row], tuners: Sequence[str], level: Interval | None, contrasts: Sequence[Row]
) -> None:
    """95 % intervals of TA and of its gain over the original, which is 0 for the original itself."""
    assert level is not None
    for tuner, low, high in zip(tuners, level.low, level.high, strict=True):
        by_tuner[tuner] |= {"ta_low": float(low), "ta_high": float(high)}
    for gain in contrasts:
        if gain["control"] == ZERO:
            by_tuner[gain["tuner"]] |= {"ta_gain_low": gain["ta_low"], "ta_gain_high": gain["ta_high"]}
    if ZERO in by_tuner and "ta_low" in by_tuner[ZERO]:
        by_tuner[ZERO] |= {"ta_gain_low": 0.0, "ta_gain_high": 0.0}


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
