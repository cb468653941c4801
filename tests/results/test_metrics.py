"""Metrics against figures worked out by hand, and against the published table."""

import numpy as np
import pytest

from tunebench.results.metrics import (
    count,
    dot_rv,
    f1_score,
    macro_accuracy,
    operating_point,
    overall_accuracy,
    per_class_accuracy,
    target_accuracy,
    target_precision,
)

#                   class 0      class 1   class 2
LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
BEFORE = np.array([0, 0, 0, 1, 1, 1, 2, 2, 0, 1])
AFTER = np.array([0, 0, 2, 1, 1, 2, 2, 2, 2, 1])

# Xu & Wang 2026, table 5: accuracy per class on Fashion-MNIST before and after SMVT-SJ on class 6, in per cent.
PUBLISHED_BEFORE = np.array([81.80, 96.90, 79.50, 90.00, 80.50, 94.40, 70.50, 95.10, 95.70, 95.20])
PUBLISHED_AFTER = np.array([81.40, 96.90, 79.40, 89.80, 80.40, 94.40, 71.60, 95.10, 95.50, 95.20])


def test_accuracies_by_hand():
    """Recall per class, TA, OA and its macro form are what counting on fingers gives."""
    counts = count(LABELS, AFTER, 3)
    assert per_class_accuracy(counts).tolist() == [2 / 4, 1 / 2, 3 / 4]
    assert target_accuracy(counts, [2]) == 3 / 4
    assert target_accuracy(counts, [0, 1]) == 3 / 6
    assert overall_accuracy(counts) == 6 / 10
    assert macro_accuracy(counts) == pytest.approx((0.5 + 0.5 + 0.75) / 3)


def test_precision_counts_what_was_claimed():
    """Precision divides by the predictions of the target; it is 0, not NaN, when there are none."""
    assert target_precision(count(LABELS, AFTER, 3), [2]) == 3 / 5
    assert target_precision(count(LABELS, np.zeros(10, dtype=int), 3), [2]) == 0.0


def test_precision_of_two_targets_asks_for_the_right_one():
    """A sample of one target that is taken for the other counts as wrong."""
    assert target_precision(count(np.array([0, 1, 2]), np.array([0, 0, 1]), 3), [0, 1]) == 1 / 3


def test_f1_is_the_harmonic_mean():
    """F1 of 3/5 and 3/4 is 2/3, and of nothing 0."""
    assert f1_score(3 / 5, 3 / 4) == pytest.approx(2 / 3)
    assert f1_score(0.0, 0.0) == 0.0


def test_dot_rv_of_the_published_table():
    """Table 5 gives 5.2e-6 over the five classes that fell."""
    value, fell = dot_rv(PUBLISHED_BEFORE / 100, PUBLISHED_AFTER / 100, [6])
    assert value == pytest.approx(5.2e-6, rel=1e-9)
    assert fell == 5


def test_dot_rv_leaves_the_target_out():
    """A fall of the target itself is not damage to others, and no fall gives 0."""
    assert dot_rv(np.array([0.9, 0.8]), np.array([0.7, 0.8]), [0]) == (0.0, 0)
    value, fell = dot_rv(np.array([0.9, 0.8, 0.7]), np.array([0.9, 0.6, 0.9]), [0])
    assert (value, fell) == (pytest.approx(0.04), 1)


def test_operating_point_by_hand():
    """All metrics of one network against its original, worked out from the ten samples above."""
    point = operating_point(LABELS, AFTER, BEFORE, [2], 3)
    assert point == {
        "ta": 3 / 4,
        "oa": 6 / 10,
        "oa_macro": pytest.approx(1.75 / 3),
        "precision": 3 / 5,
        "f1": pytest.approx(2 / 3),
        "dot_rv": pytest.approx((0.25**2 + 0.5**2) / 2),
        "fell": 2,
        "worst_class": 0,
        "worst_recall": 0.5,
    }


def test_a_class_without_samples_is_left_out():
    """A class that test does not hold has no accuracy: it enters neither the macro mean nor the worst class."""
    point = operating_point(LABELS, AFTER, BEFORE, [2], 4)
    assert np.isnan(per_class_accuracy(count(LABELS, AFTER, 4))[3])
    assert point["oa_macro"] == pytest.approx(1.75 / 3)
    assert point["worst_class"] == 0
