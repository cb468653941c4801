"""Are the tests of a board honest: nulls, planted effects, family-wise rates."""

import numpy as np
import pytest
from blocks import TARGET, block
from scipy import stats

from tunebench.boards.calibration import (
    detectable_effect,
    family_wise,
    plant,
    power,
    rate,
    search_deviation,
    simulate_null,
)
from tunebench.boards.statistics import (
    pairwise,
)


def test_rate_bounds_are_clopper_pearson():
    """The bounds are scipy's exact one-sided ones, also with no hit at all."""
    got = rate([True] * 7 + [False] * 193)
    exact = stats.binomtest(7, 200).proportion_ci(0.90)
    assert (got.lower, got.upper) == pytest.approx((exact.low, exact.high))
    assert rate([False] * 100).upper == pytest.approx(1 - 0.05 ** (1 / 100))


def test_null_keeps_shape_difficulty_and_search_variance():
    """Nulls keep accuracy and the search deviation that they are given, and lose the tuners' differences."""
    rng = np.random.default_rng(10)
    correct, labels = block(tuners=12, seeds=5, sizes=(2000,), seed=10)
    correct = plant(correct, 0, 4.0, rng)
    nulls = [simulate_null(correct, labels, rng, 0.01) for _ in range(8)]
    assert nulls[0].shape == correct.shape
    assert np.mean(nulls) == pytest.approx(correct.mean(), abs=0.01)
    leads = [null[0].mean() - null[1:].mean() for null in nulls]
    assert np.mean(leads) == pytest.approx(0, abs=0.005)
    squares = np.mean([search_deviation(null, labels) ** 2 for null in nulls])
    assert np.sqrt(squares) == pytest.approx(0.01, rel=0.15)


def test_planted_effect_has_its_size_at_every_seed():
    """Two points planted are two points, at each seed, on that tuner alone."""
    correct, _ = block(sizes=(1000,))
    change = plant(correct, 1, 2.0, np.random.default_rng(0)).mean(-1) - correct.mean(-1)
    assert change[1] == pytest.approx(0.02)
    assert (change[[0, 2, 3]] == 0).all()


@pytest.mark.parametrize(("seeds", "tuners"), [(3, 6), (5, 2)])
def test_family_wise_rate_of_nulls(seeds, tuners):
    """On a hundred nulls the family-wise rate is compatible with 5 %; `tox -e aa` runs thousands."""
    correct, labels = block(tuners=tuners, seeds=seeds, sizes=(500,), search=0.02, seed=11)
    found = family_wise(correct, labels, TARGET, nulls=100)
    assert found.lower <= 0.05
    assert found == family_wise(correct, labels, TARGET, nulls=100)


def test_unprotected_t_test_fails_the_same_check():
    """The check has teeth: uncorrected p-values of the same nulls give a family-wise rate far above 7 %."""
    rng = np.random.default_rng(12)
    correct, labels = block(tuners=8, seeds=5, sizes=(300,), seed=12)
    nulls = [simulate_null(correct, labels, rng, 0.02) for _ in range(40)]
    naive = rate((pairwise(null, labels, TARGET).p <= 0.05).any() for null in nulls)
    assert naive.lower > 0.07


def test_power_grows_with_effect_and_seeds():
    """A larger effect is found more often, and the least detectable effect lies where 80 % are found."""
    correct, labels = block(tuners=3, seeds=5, sizes=(1000,), seed=13)
    small, large = (power(correct, labels, TARGET, e, draws=30) for e in (0.5, 5.0))
    assert small.rate < large.rate
    assert large.rate >= 0.8
    least = detectable_effect(correct, labels, TARGET, draws=30)
    assert least is not None
    assert power(correct, labels, TARGET, least, draws=30).rate >= 0.8
