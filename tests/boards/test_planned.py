"""Planned contrasts: what is compared, the family, what it finds that all pairs miss, how boards show it."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from blocks import TARGET, block

from tunebench.boards import leaderboard, tables
from tunebench.boards.calibration import family_wise, planned_power, plant, simulate_null
from tunebench.boards.contrasts import BIAS, ZERO, planned_contrasts, tally
from tunebench.boards.statistics import differences, holm, pairwise, planned
from tunebench.boards.statistics.crossed import select, two_sided
from tunebench.boards.statistics.planned import contrasts_among
from tunebench.boards.statistics.variance import borrowable, fit_prior, reference, spread


def test_every_tuner_against_every_control_once():
    """T tuners and two controls are 2 T - 3 contrasts, whose differences are those of the accuracies."""
    correct, labels = block(tuners=6, seeds=4)
    found = planned(correct, labels, TARGET, [5, 2])
    places = list(zip(found.tuner.tolist(), found.control.tolist(), strict=True))
    assert places == [(t, 5) for t in range(5)] + [(t, 2) for t in (0, 1, 3, 4)]
    accuracy = correct[:, :, labels == 0].mean((1, 2))
    assert found.difference == pytest.approx(accuracy[found.tuner] - accuracy[found.control])
    assert (found.low < found.difference).all()
    assert (found.difference < found.high).all()


def test_one_family_and_a_prior_for_each_control():
    """The adjusted p values are Holm's over the contrasts of both controls; variance is borrowed within one control."""
    correct, labels = block(tuners=7, seeds=5, search=0.02, seed=3)
    found = planned(correct, labels, TARGET, [6, 0])
    values, strata = select(correct, labels, TARGET)
    p = []
    for control in (6, 0):
        rivals = found.tuner[found.control == control]
        moments = spread(values[rivals].astype(float) - values[control], strata)
        prior = fit_prior(moments, 7, 11)
        error, df = reference(moments, replace(prior, df=min(prior.df, 20)))
        p += two_sided(moments.mean, error, df, len(strata)).tolist()
    assert found.p_holm == pytest.approx(holm(p))


def test_a_contrast_borrows_five_times_what_it_has():
    """Not all that other contrasts of a large board have, which their family alone would let it take."""
    assert borrowable(33, 4, 63) == 4 * 32 - 4
    correct, labels = block(tuners=30, seeds=5, search=0.02, seed=0)
    wide = planned(correct, labels, TARGET, [29])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[contrasts_among.__module__], "BORROWED", 1000)
        narrow = planned(correct, labels, TARGET, [29])
    assert (narrow.p_holm <= wide.p_holm).all()
    assert (narrow.p_holm < wide.p_holm).any()


def test_any_two_tuners_in_any_direction():
    """Differences between chosen tuners are the plain formula's, with the sign of the direction."""
    correct, labels = block(tuners=5, seeds=3)
    values, strata = select(correct, labels, None)
    first, second = (side.ravel() for side in np.nonzero(~np.eye(5, dtype=bool)))
    found = differences(correct, labels, None).between(first, second)
    expected = spread(values[first].astype(float) - values[second], strata)
    for name in ("mean", "seed", "image", "residual", "image_df"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-15)


def test_fewer_tests_let_borrow_no_more():
    """What may be borrowed is bounded by the quantile of the family at hand: a smaller one never allows more."""
    allowed = [borrowable(30, 2, tests) for tests in (1, 10, 57, 435)]
    assert allowed == sorted(allowed)
    assert borrowable(30, 2) == borrowable(30, 2, 435)


@pytest.mark.parametrize("seeds", [3, 5])
def test_family_wise_rate_of_planned_nulls(seeds):
    """On two hundred nulls the rate is compatible with 5 %; `tox -e aa` runs thousands."""
    correct, labels = block(tuners=12, seeds=seeds, sizes=(400,), search=0.02, seed=11)
    found = family_wise(correct, labels, TARGET, [11, 4], nulls=200)
    assert found.lower <= 0.05
    assert found == family_wise(correct, labels, TARGET, [11, 4], nulls=200)


def test_planned_contrasts_find_what_all_pairs_miss():
    """Among 30 tuners an effect is found more often in the planned family than in that of all 435 pairs."""
    rng = np.random.default_rng(5)
    correct, labels = block(tuners=30, seeds=5, sizes=(600,), search=0.008, seed=5)
    hits = np.zeros(2, int)
    for _ in range(25):
        planted = plant(simulate_null(correct, labels, rng, 0.008), 0, 3.0, rng)
        found = planned(planted, labels, None, [29, 1])
        hits += (
            found.p_holm[(found.tuner == 0) & (found.control == 29)][0] <= 0.05,
            pairwise(planted, labels, None).p_holm[0, 29] <= 0.05,
        )
    assert hits[0] > hits[1] + 3


def test_power_is_told_for_each_control():
    """A large effect is found against both controls, none against neither."""
    correct, labels = block(tuners=5, seeds=5, sizes=(800,), seed=13)
    assert [found.rate for found in planned_power(correct, labels, TARGET, [4, 1], 8.0, draws=15)] == [1, 1]
    assert max(found.rate for found in planned_power(correct, labels, TARGET, [4, 1], 0.0, draws=15)) <= 0.2


def test_the_zero_line_is_the_untuned_network():
    """`original` is no tuner of its own; without logit-bias only the zero line is left, and one seed tests nothing."""
    correct, labels = block(tuners=4, seeds=3)
    in_both = [differences(correct, labels, which) for which in (TARGET, None)]
    found = planned_contrasts(["a", BIAS, ZERO], *in_both)
    assert [(row["tuner"], row["control"]) for row in found] == [("a", ZERO), (BIAS, ZERO), ("a", BIAS)]
    accuracy = correct[:, :, labels == 0].mean((1, 2))
    assert found[0]["ta_difference"] == pytest.approx(accuracy[0] - accuracy[3])
    assert {row["control"] for row in planned_contrasts(["a", "b", "c"], *in_both)} == {ZERO}
    assert planned(correct[:, :1], labels, TARGET, [3]) is None


def test_boards_show_planned_contrasts_and_call_pairs_exploratory(digits_run):
    """Rows, JSON and Markdown hold the contrasts; their gains and intervals are those of the rows."""
    board = leaderboard.build(digits_run)
    rows = {row["tuner"]: row for row in board.rows}
    tuners = [name for name in rows if name not in (ZERO, BIAS)]
    for contrast in board.contrasts:
        suffix = "" if contrast["variant"] == "plain" else "_shifted"
        row = rows[contrast["tuner"]]
        if contrast["control"] == ZERO:
            assert contrast["ta_difference"] == pytest.approx(row["ta_gain" + suffix])
            assert contrast["ta_p_holm"] == row["ta_gain_p" + suffix]
        else:
            expected = row["ta" + suffix] - rows[BIAS]["ta" + suffix]
            assert contrast["ta_difference"] == row["ta_over_bias" + suffix] == pytest.approx(expected)
            assert contrast["ta_p_holm"] == row["ta_over_bias_p" + suffix]
    assert len(board.contrasts) == 2 * (2 * len(tuners) + 1)
    assert (rows[ZERO]["ta_gain_low"], rows[ZERO]["ta_gain_high"], rows[ZERO]["ta_gain_p"]) == (0, 0, None)
    section = tables.as_markdown(board).split("## Planned contrasts")[1].split("\n## ")[0]
    assert "exploratory" in section
    assert all(f"| {name} " in section for name in tuners)
    counts = tally(board.contrasts)[tuners[0]]["plain", ZERO]
    assert counts["blocks"] == 1
    assert counts["ahead"] + counts["behind"] == int(rows[tuners[0]]["ta_gain_p"] <= 0.05)
