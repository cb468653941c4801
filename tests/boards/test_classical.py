"""Textbook tests: Holm, McNemar, paired t, Friedman, compact letters, areas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tunebench.boards.statistics import (
    area,
    holm,
    mcnemar,
    only_first,
    paired_t,
    rank_test,
    signed_rank,
    tie_groups,
)


def test_holm_by_hand():
    """0.01, 0.04, 0.03 become 0.03, 0.06, 0.06."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]).shape == (0,)


@given(st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=40, deadline=None)
def test_mcnemar_is_the_binomial_of_discordant_images(only_a, only_b):
    """The p-value is twice the binomial tail of the smaller discordant count, at most 1; agreement is ignored."""
    a = np.repeat([True, False, True, False], [only_a, only_b, 7, 4])
    b = np.repeat([False, True, True, False], [only_a, only_b, 7, 4])
    by_hand = min(1.0, 2 * stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5))
    alone = only_first(np.array([a, b])[:, None])
    assert mcnemar(alone, alone.swapaxes(0, 1))[0, 1, 0] == pytest.approx(by_hand)


def test_published_table_11_recomputed():
    """OA of second against third over 5 runs: the published p = 0.0157 does not follow (docs/methods.md, section 6)."""
    second = np.array([93.62, 93.82, 93.97, 93.38, 93.77])
    third = np.array([93.54, 93.76, 93.94, 93.38, 93.75])
    assert paired_t(second - third) == pytest.approx(0.056, abs=5e-4)
    assert paired_t(second - third, "greater") == pytest.approx(0.028, abs=5e-4)
    assert signed_rank(second - third) == pytest.approx(0.125)


@pytest.mark.filterwarnings("error")
def test_paired_tests_agree_with_scipy_and_survive_constants():
    """The t test is scipy's; differences without spread give 1 or 0, never NaN."""
    d = np.random.default_rng(0).normal(0.3, 1, 6)
    assert paired_t(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
    assert paired_t(np.array([d, 2 * d])).tolist() == [paired_t(d)] * 2
    assert paired_t([0.0, 0.0, 0.0]) == 1
    assert paired_t([0.25, 0.25, 0.25]) == pytest.approx(0, abs=1e-12)
    assert paired_t([-0.25, -0.25], "greater") == pytest.approx(1)
    assert signed_rank([0.0, 0.0]) == 1


def test_rank_test_only_from_eight_blocks():
    """Seven blocks give a reason instead of a p; eight give Friedman's; ranks count from the best."""
    scores = np.random.default_rng(0).random((8, 4))
    few = rank_test(scores[:7])
    assert few.p is None
    assert "7 blocks" in few.reason
    full = rank_test(scores)
    assert full.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    assert sum(full.mean_ranks) == pytest.approx(10)
    assert rank_test(np.tile([0.1, 0.9, 0.5], (8, 1))).mean_ranks == (3, 1, 2)
    assert rank_test(np.ones((9, 3))).p == 1
    assert "2 tuners" in rank_test(scores[:, :2]).reason


def test_compact_letters_known_example():
    """A chain in which only the ends differ reads a, ab, b; a leader on its own has a letter of its own."""
    p = np.ones((3, 3))
    p[0, 2] = p[2, 0] = 0.01
    assert tie_groups([0, 1, 2], p) == ["a", "ab", "b"]
    assert tie_groups([2, 1, 0], p) == ["a", "ab", "b"]
    alone = np.ones((4, 4))
    alone[1, [0, 2, 3]] = alone[[0, 2, 3], 1] = 0.001
    assert tie_groups([1, 0, 2, 3], alone) == ["a", "b", "b", "b"]
    assert tie_groups([0, 1], np.ones((2, 2))) == ["a", "a"]
    assert tie_groups([], np.ones((0, 0))) == []


@given(st.integers(1, 9), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_letters_are_shared_exactly_by_inseparable_tuners(tuners, seed):
    """For any pattern of significance: a shared letter if and only if p_holm is above alpha; no letter is idle."""
    p = np.random.default_rng(seed).random((tuners, tuners)) * 0.2
    p = np.triu(p, 1) + np.triu(p, 1).T + np.eye(tuners)
    letters = [set(text) for text in tie_groups(range(tuners), p)]
    for i in range(tuners):
        for j in range(tuners):
            assert bool(letters[i] & letters[j]) == (p[i, j] > 0.05)
    groups = {c: {i for i in range(tuners) if c in letters[i]} for c in set().union(*letters)}
    assert not any(a < b for a in groups.values() for b in groups.values())


def test_area_by_hand():
    """A straight rise from 0 to 2 points has area 1; uneven budgets are weighted by their widths."""
    assert area([0, 1], [0, 2]) == pytest.approx(1)
    assert area([0, 0.1, 0.2, 0.5, 1.0], [0, 1, 1, 3, 3]) == pytest.approx(0.05 + 0.1 + 0.6 + 1.5)
    for budgets in ([0.1, 1.0], [0, 0.5], [0, 0.5, 0.5, 1]):
        with pytest.raises(ValueError, match="budgets"):
            area(budgets, [1.0] * len(budgets))


# Calibration
