"""Statistics of leaderboards: against closed forms, by hand, at the edges, and on simulated nulls."""

import subprocess
import sys

import numpy as np
import pytest
from blocks import ONE_CLASS, TARGET, block
from scipy import stats

from tunebench.boards.calibration import (
    plant,
)
from tunebench.boards.statistics import (
    bootstrap,
    holm,
    interval,
    paired_t,
    pairs,
    pairwise,
    signed_rank,
    tie_groups,
)
from tunebench.boards.statistics.variance import Prior, borrowable, fit_prior, reference, spread
from tunebench.errors import DataError

# The variance of a mean


def test_one_class_agrees_with_textbook_two_way_layout():
    """The three parts are the mean squares of a two-way layout without replication, over S N."""
    x = np.random.default_rng(1).normal(size=(1, 4, 30))
    got = spread(x, np.zeros(30, int))
    rows, columns, grand = x[0].mean(1), x[0].mean(0), x.mean()
    ms_seed = 30 * ((rows - grand) ** 2).sum() / 3
    ms_image = 4 * ((columns - grand) ** 2).sum() / 29
    ms_residual = ((x[0] - rows[:, None] - columns + grand) ** 2).sum() / (3 * 29)
    assert got.seed == pytest.approx(ms_seed / 120)
    assert got.image == pytest.approx(ms_image / 120)
    assert got.residual == pytest.approx(ms_residual / 120)


def test_classes_add_like_strata():
    """With several classes the image and residual parts are those of the classes, weighted by squared shares."""
    x = np.random.default_rng(2).normal(size=(1, 3, 50)) + np.repeat([0, 5], [20, 30])
    strata = np.repeat([0, 1], [20, 30])
    whole = spread(x, strata)
    first, second = (spread(x[:, :, strata == c], strata[strata == c]) for c in (0, 1))
    assert whole.image == pytest.approx(0.4**2 * first.image + 0.6**2 * second.image)
    assert whole.residual == pytest.approx(0.4**2 * first.residual + 0.6**2 * second.residual)


def test_standard_error_is_right_on_average():
    """Over many draws of a known model the squared standard error averages the true variance of the mean."""
    rng = np.random.default_rng(3)
    draws, seeds, images = 4000, 4, 25
    x = rng.normal(0, 0.5, (draws, seeds, 1)) + rng.normal(0, 2, (draws, 1, images))
    x = x + rng.normal(0, 1, (draws, seeds, images))
    error, _ = reference(spread(x, np.zeros(images, int)))
    truth = 0.25 / seeds + 4 / images + 1 / (seeds * images)
    assert (error**2).mean() == pytest.approx(truth, rel=0.03)
    assert spread(x, np.zeros(images, int)).mean.var() == pytest.approx(truth, rel=0.08)


def test_degrees_of_freedom_count_differing_images():
    """Where few images differ, the image part has about twice as many degrees of freedom as such images."""
    x = np.zeros((1, 2, 1000))
    x[:, :, :6] = 1
    assert spread(x, ONE_CLASS).image_df == pytest.approx(12, rel=0.02)


@pytest.mark.parametrize(
    ("tuners", "seeds", "sizes"), [(1, 2, (3,)), (2, 2, (1, 40)), (6, 3, (200, 1, 300)), (5, 5, (900, 8))]
)
def test_pairs_are_their_differences_to_the_last_bit(tuners, seeds, sizes, monkeypatch):
    """Counts and looked-up powers give the very numbers of `spread` of each difference, whatever fits in one pass."""
    correct, labels = block(11, tuners, seeds, sizes)
    order = np.argsort(labels, kind="stable")
    correct, strata = correct[:, :, order], labels[order]
    first, second = np.triu_indices(tuners, 1)
    one_by_one = spread(correct[first].astype(float) - correct[second], strata)
    for at_once in (2**16, 700):
        monkeypatch.setattr(pairs, "AT_ONCE", at_once)
        got = pairs.spread_of_pairs(correct, strata)
        for name in ("mean", "seed", "image", "residual", "image_df"):
            assert getattr(got, name).tolist() == getattr(one_by_one, name).tolist()
    alone = (correct[first] & ~correct[second]).sum(-1)
    assert pairs.only_first(correct)[first, second].tolist() == alone.tolist()


@pytest.mark.parametrize("targets", [TARGET, None])
def test_bootstrap_agrees_with_closed_form(targets):
    """Crossed resamples have the variance that Owen's formula gives from the three parts."""
    correct, labels = block(seeds=4, search=0.05)
    draws = bootstrap(correct, labels, TARGET, resamples=6000)
    sample = draws.ta if targets else draws.oa
    chosen = np.argsort(labels, kind="stable")
    chosen = chosen[np.isin(labels[chosen], targets)] if targets else chosen
    x = (correct[0].astype(float) - correct[1])[None, :, chosen]
    parts = spread(x, labels[chosen])
    biased = 3 / 4  # (S - 1) / S
    expected = biased * parts.seed + parts.image + biased * parts.residual
    assert (sample[:, 0] - sample[:, 1]).var() == pytest.approx(expected[0], rel=0.06)


def test_bootstrap_is_centred_bounded_and_repeatable():
    """Resamples centre on the accuracies, keep class sizes, and depend on the seed alone."""
    correct, labels = block()
    one = bootstrap(correct, labels, TARGET, resamples=500, seed=7)
    two = bootstrap(correct, labels, TARGET, resamples=500, seed=7)
    other = bootstrap(correct, labels, TARGET, resamples=500, seed=8)
    assert np.array_equal(one.ta, two.ta)
    assert not np.array_equal(one.ta, other.ta)
    assert one.oa.shape == (500, 4)
    assert one.ta.mean(0) == pytest.approx(correct[:, :, labels == 0].mean((1, 2)), abs=0.005)
    everyone_right = np.ones_like(correct)
    assert (bootstrap(everyone_right, labels, TARGET, resamples=50).oa == 1).all()


# The prior


def test_prior_recovers_ratio_and_homogeneity():
    """Pairs that all have one seed / residual ratio give it back, with as many degrees of freedom as allowed."""
    rng = np.random.default_rng(4)
    x = rng.normal(0, 0.3, (60, 5, 1)) + rng.normal(0, 1, (60, 5, 40))
    prior = fit_prior(spread(x, np.zeros(40, int)), tuners=12)
    assert prior.ratio == pytest.approx(1 + 40 * 0.09, rel=0.25)
    assert prior.df >= 30


def test_unequal_tuners_weaken_the_prior():
    """Seed variances that differ a hundredfold leave the prior next to no weight."""
    rng = np.random.default_rng(5)
    scale = np.where(np.arange(60) % 2, 3.0, 0.03)[:, None, None]
    x = rng.normal(0, 1, (60, 5, 1)) * scale + rng.normal(0, 1, (60, 5, 40))
    assert fit_prior(spread(x, np.zeros(40, int)), tuners=12).df < 4


@pytest.mark.parametrize(("tuners", "seeds"), [(2, 3), (5, 3), (18, 3), (18, 5), (40, 2)])
def test_borrowed_degrees_of_freedom_leave_a_lone_tuner_its_level(tuners, seeds):
    """With what a pair may borrow, a t with S - 1 degrees of freedom passes Holm's first step at most at 5 %."""
    pairs = tuners * (tuners - 1) / 2
    first_quantile = stats.t.ppf(1 - 0.025 / pairs, seeds - 1 + borrowable(tuners, seeds - 1))
    assert 2 * stats.t.sf(first_quantile, seeds - 1) <= max(0.035, 0.05 / pairs) + 1e-12
    assert borrowable(tuners, seeds - 1) <= (tuners - 2) * (seeds - 1)


def test_prior_never_lowers_a_standard_error():
    """A pair's standard error with the prior is at least what the pair itself shows."""
    x = np.random.default_rng(6).normal(size=(10, 3, 50)) * np.linspace(0.1, 3, 10)[:, None, None]
    moments = spread(x, np.zeros(50, int))
    own, _ = reference(moments)
    assert (reference(moments, Prior(1.0, 8.0))[0] >= own - 1e-15).all()
    assert (reference(moments, Prior(9.0, 8.0))[0] > own).all()


# Intervals and pairs


def test_interval_contains_mean_and_covers():
    """Intervals hold the mean, lie in [0, 1], and cover the true accuracy about 95 % of the time."""
    rng = np.random.default_rng(7)
    hits = []
    for _ in range(300):
        skill = 1.5 + rng.normal(0, 1, 200) + rng.normal(0, 0.15, (6, 4, 1))
        truth = stats.norm.cdf(1.5 / np.sqrt(2 + 0.15**2))
        got = interval(skill + rng.normal(0, 1, (6, 4, 200)) > 0, np.zeros(200, int), TARGET)
        assert ((got.low <= got.mean) & (got.mean <= got.high) & (got.low >= 0) & (got.high <= 1)).all()
        hits.append((got.low <= truth) & (truth <= got.high))
    assert 0.92 <= np.mean(hits) <= 0.98


def test_pairwise_is_antisymmetric_and_matches_accuracies():
    """Swapping two tuners flips difference and interval and keeps p."""
    correct, labels = block()
    for targets, mask in ((TARGET, labels == 0), (None, labels >= 0)):
        got = pairwise(correct, labels, targets)
        accuracy = correct[:, :, mask].mean((1, 2))
        assert got.difference == pytest.approx(accuracy[:, None] - accuracy)
        assert np.array_equal(got.low, 0 - got.high.T)
        assert np.array_equal(got.p, got.p.T)
        assert (got.p_holm >= got.p).all()
        assert (got.low <= got.difference).all()
        assert (got.difference <= got.high).all()


def test_holm_family_is_every_pair():
    """The adjusted p-values are Holm's over the T (T - 1) / 2 pairs, and order of images does not matter."""
    correct, labels = block(tuners=5)
    got = pairwise(correct, labels, TARGET)
    upper = np.triu_indices(5, 1)
    assert got.p_holm[upper] == pytest.approx(holm(got.p[upper]))
    shuffle = np.random.default_rng(0).permutation(labels.size)
    again = pairwise(correct[:, :, shuffle], labels[shuffle], TARGET)
    assert again.p == pytest.approx(got.p)


def test_two_tuners_many_seeds_agree_with_paired_t():
    """With many seeds and no image effect the crossed test and the paired t over seeds agree."""
    rng = np.random.default_rng(8)
    skill = 0.7 + rng.normal(0, 0.03, (2, 60, 1)) + np.array([0.006, 0.0])[:, None, None]
    correct = rng.random((2, 60, 400)) < skill
    crossed = pairwise(correct, np.zeros(400, int), TARGET).p[0, 1]
    over_seeds = paired_t(correct[0].mean(1) - correct[1].mean(1))
    assert crossed == pytest.approx(over_seeds, rel=0.35)


def test_clear_effect_is_found_and_noise_is_not():
    """Ten points stand out of four tuners; the three equal ones stay together."""
    correct, labels = block(seed=9, sizes=(1000, 1000), seeds=5)
    better = plant(correct, 0, 5.0, np.random.default_rng(0))
    got = pairwise(better, labels, None)
    assert (got.p_holm[0, 1:] < 0.05).all()
    assert (got.p_holm[1:, 1:] > 0.05).all()


def test_single_seed_has_no_interval_and_no_mark():
    """One seed gives neither interval, nor test, nor letters."""
    correct, labels = block(seeds=1)
    assert interval(correct, labels, TARGET) is None
    assert pairwise(correct, labels, TARGET) is None
    assert tie_groups([0, 1], None) == ["", ""]
    assert paired_t([0.3]) is None
    assert signed_rank([0.3]) is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seeds", [2, 3])
def test_degenerate_blocks_give_no_nan(seeds):
    """Identical tuners, all right, all wrong, opposite, a class of one image, one tuner: finite, p in [0, 1]."""
    base, labels = block(seeds=seeds)
    flipped = base.copy()
    flipped[1, :, 3] ^= True
    lonely = np.where(np.arange(labels.size) == 5, 9, labels)
    opposite = np.stack([np.ones_like(base[0]), np.zeros_like(base[0])])
    same = np.repeat(base[:1], 3, axis=0)
    cases = [(same, labels), (np.ones_like(base), labels), (opposite, labels), (flipped, lonely)]
    for correct, classes in [*cases, (base[:1], labels), (same[:, :, :1], labels[:1]), (base[:2], labels)]:
        for targets in (sorted({int(classes[0])}), None):
            got, level = pairwise(correct, classes, targets), interval(correct, classes, targets)
            assert all(np.isfinite(a).all() for a in (got.low, got.high, got.p, got.p_holm, got.error))
            assert ((got.p >= 0) & (got.p <= 1)).all()
            assert np.isfinite(level.low).all()
            assert np.isfinite(level.high).all()
    identical = pairwise(same, labels, TARGET)
    assert (identical.p == 1).all()
    assert (identical.high == 0).all()
    assert pairwise(opposite, labels, TARGET).p[0, 1] < 1e-30


def test_all_right_interval_has_exact_binomial_bound():
    """Of 200 images all right, the interval's lower end is Clopper and Pearson's."""
    got = interval(np.ones((1, 3, 200), bool), np.zeros(200, int), TARGET)
    exact = stats.binomtest(200, 200).proportion_ci(0.95)
    assert got.low[0] == pytest.approx(exact.low)
    assert got.high[0] == 1


def test_missing_target_class_is_a_data_error():
    """A target without test images is the user's error, named in one line."""
    correct, labels = block()
    for call in (interval, pairwise, bootstrap):
        with pytest.raises(DataError, match="no test image of class 7"):
            call(correct, labels, [7])
    with pytest.raises(ValueError, match="expected"):
        pairwise(correct, labels[:-1], TARGET)


# Classical tests


def test_import_is_cheap():
    """Importing the statistics loads neither scipy nor torch nor pandas."""
    code = (
        "import sys, tunebench.boards.statistics as s; print(sorted({'scipy', 'torch', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
