"""What a tuned classifier is judged by: pure functions of counts, no torch (docs/methods.md, section 5).

``targets`` are the classes to raise, C is the number of classes. All results but counts are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]
Floats = NDArray[np.float64]


class Counts(NamedTuple):
    """What every metric of one network on one test set follows from; arrays (C,) of integers."""

    totals: Ints
    """Samples of each class."""
    hits: Ints
    """Those of them that are classified right."""
    claimed: Ints
    """Samples, of whatever class, that are taken for it."""


def count(labels: Ints, predictions: Ints, classes: int) -> Counts:
    """The counts of ``predictions`` (N,) against ``labels`` (N,)."""
    return Counts(
        np.bincount(labels, minlength=classes),
        np.bincount(labels[labels == predictions], minlength=classes),
        np.bincount(predictions, minlength=classes),
    )


class OperatingPoint(TypedDict):
    """Every metric of one tuned network on one test set."""

    ta: float
    oa: float
    oa_macro: float
    precision: float
    f1: float
    dot_rv: float
    fell: int
    worst_class: int
    worst_recall: float


def per_class_accuracy(counts: Counts) -> Floats:
    """Recall of every class, (C,); NaN for a class without samples."""
    recalls = np.full(len(counts.totals), np.nan)
    np.divide(counts.hits, counts.totals, out=recalls, where=counts.totals > 0)
    return recalls


def target_accuracy(counts: Counts, targets: Sequence[int]) -> float:
    """TA: recall over the samples of the target classes, TP / (TP + FN) (Xu & Wang 2026, equation 3)."""
    mine = list(targets)
    return int(counts.hits[mine].sum()) / int(counts.totals[mine].sum())


def overall_accuracy(counts: Counts) -> float:
    """OA, micro: share of all samples classified right."""
    return int(counts.hits.sum()) / int(counts.totals.sum())


def macro_accuracy(counts: Counts) -> float:
    """OA, macro: mean of the per-class accuracies (Xu & Wang 2026, equation 4)."""
    return float(np.nanmean(per_class_accuracy(counts)))


def target_precision(counts: Counts, targets: Sequence[int]) -> float:
    """Share of the samples predicted as a target that are of that very class; 0 if there are none."""
    mine = list(targets)
    claimed = int(counts.claimed[mine].sum())
    return int(counts.hits[mine].sum()) / claimed if claimed else 0.0


def f1_score(precision: float, recall: float) -> float:
    """Harmonic mean of precision and recall; 0 if both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def dot_rv(before: Floats, after: Floats, targets: Sequence[int]) -> tuple[float, int]:
    """DOT-RV and the size of S_d, from per-class accuracies (C,) before and after.

    S_d holds the non-target classes whose accuracy fell; DOT-RV is the mean squared fall over S_d, 0 if it is empty
    (Xu & Wang 2026, table 5 gives 5.2e-6).
    """
    falls = before - after
    falls[list(targets)] = 0.0
    falls = falls[falls > 0]
    return (float(np.mean(falls**2)), len(falls)) if len(falls) else (0.0, 0)


def operating_point(
    labels: Ints, predictions: Ints, original: Ints, targets: Sequence[int], classes: int
) -> OperatingPoint:
    """All metrics of ``predictions`` (N,), with ``original`` (N,) the untuned network's predictions."""
    return point_of(count(labels, predictions, classes), count(labels, original, classes), targets)


def point_of(tuned: Counts, original: Counts, targets: Sequence[int]) -> OperatingPoint:
    """All metrics of a tuned network against its original."""
    before, after = per_class_accuracy(original), per_class_accuracy(tuned)
    ta, precision = target_accuracy(tuned, targets), target_precision(tuned, targets)
    rv, fell = dot_rv(before, after, targets)
    worst = int(np.argmin(np.where(tuned.totals > 0, after, np.inf)))
    return {
        "ta": ta,
        "oa": overall_accuracy(tuned),
        "oa_macro": macro_accuracy(tuned),
        "precision": precision,
        "f1": f1_score(precision, ta),
        "dot_rv": rv,
        "fell": fell,
        "worst_class": worst,
        "worst_recall": float(after[worst]),
    }
