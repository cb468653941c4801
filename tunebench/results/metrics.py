"""What a tuned classifier is judged by: pure functions of integer arrays, no torch (docs/methods.md, section 5).

``labels`` and ``predictions`` are (N,) integer arrays, ``targets`` the classes to raise, C the number of classes.
All results are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]
Floats = NDArray[np.float64]


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


def per_class_accuracy(labels: Ints, predictions: Ints, classes: int) -> Floats:
    """Recall of every class, (C,); NaN for a class without samples."""
    totals = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[labels == predictions], minlength=classes)
    with np.errstate(invalid="ignore"):
        return hits / totals


def among(values: Ints, targets: Sequence[int]) -> NDArray[np.bool_]:
    """Which of ``values`` (N,) are a target; faster than `numpy.isin` for the few targets there are."""
    return np.asarray(np.logical_or.reduce([values == target for target in targets]))


def target_accuracy(labels: Ints, predictions: Ints, targets: Sequence[int]) -> float:
    """TA: recall over the samples of the target classes, TP / (TP + FN) (Xu & Wang 2026, equation 3)."""
    mine = among(labels, targets)
    return float(np.mean(predictions[mine] == labels[mine]))


def overall_accuracy(labels: Ints, predictions: Ints) -> float:
    """OA, micro: share of all samples classified right."""
    return float(np.mean(labels == predictions))


def macro_accuracy(labels: Ints, predictions: Ints, classes: int) -> float:
    """OA, macro: mean of the per-class accuracies (Xu & Wang 2026, equation 4)."""
    return float(np.nanmean(per_class_accuracy(labels, predictions, classes)))


def target_precision(labels: Ints, predictions: Ints, targets: Sequence[int]) -> float:
    """Share of the samples predicted as a target that are of that very class; 0 if there are none."""
    claimed = among(predictions, targets)
    return float(np.mean(predictions[claimed] == labels[claimed])) if claimed.any() else 0.0


def f1_score(precision: float, recall: float) -> float:
    """Harmonic mean of precision and recall; 0 if both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def dot_rv(before: Floats, after: Floats, targets: Sequence[int]) -> tuple[float, int]:
    """DOT-RV and the size of S_d, from per-class accuracies (C,) before and after.

    S_d holds the non-target classes whose accuracy fell; DOT-RV is the mean squared fall over S_d, 0 if it is empty
    (Xu & Wang 2026, table 5 gives 5.2e-6).
    """
    falls = np.delete(before - after, list(targets))
    falls = falls[falls > 0]
    return (float(np.mean(falls**2)), len(falls)) if len(falls) else (0.0, 0)


def operating_point(
    labels: Ints, predictions: Ints, original: Ints, targets: Sequence[int], classes: int
) -> OperatingPoint:
    """All metrics of ``predictions``, with ``original`` (N,) the untuned network's predictions."""
    before = per_class_accuracy(labels, original, classes)
    after = per_class_accuracy(labels, predictions, classes)
    ta = target_accuracy(labels, predictions, targets)
    precision = target_precision(labels, predictions, targets)
    rv, fell = dot_rv(before, after, targets)
    worst = int(np.nanargmin(after))
    return {
        "ta": ta,
        "oa": overall_accuracy(labels, predictions),
        "oa_macro": float(np.nanmean(after)),  # `macro_accuracy`, from what is at hand
        "precision": precision,
        "f1": f1_score(precision, ta),
        "dot_rv": rv,
        "fell": fell,
        "worst_class": worst,
        "worst_recall": float(after[worst]),
    }
