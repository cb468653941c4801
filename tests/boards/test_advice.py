"""Which tuner to pick at which budget."""

import pytest

from tunebench.boards.advice import AVERAGED, advise, summarise


def curve(tuner, target, ta_gain, variant="plain", budget=0.2):
    """One point of a trade-off curve."""
    return {
        "dataset": "d",
        "model": "m",
        "target": target,
        "tuner": tuner,
        "variant": variant,
        "budget": budget,
        "ta_gain": ta_gain,
        "oa_loss": 0.001,
        "over_budget": 0.5,
    }


def test_the_leader_is_the_best_mean_over_blocks():
    """The pick has the highest mean gain, plain and shifted alike; the second says by how much it is behind."""
    curves = [curve("a", "1", 0.04), curve("a", "2", 0.00), curve("b", "1", 0.01), curve("b", "2", 0.01)]
    curves += [curve("b", t, 0.03, variant="shifted") for t in ("1", "2")]
    (advice,) = advise(curves)
    assert (advice["first"], advice["second"]) == ("b, shifted", "a")
    assert advice["ta_gain"] == pytest.approx(0.03)
    assert advice["behind"] == pytest.approx(0.01)
    assert (advice["ahead"], advice["blocks"]) == (1, 2)


def test_equal_variants_are_named_by_the_fewest_extras():
    """Interpolated contains shifted: where it finds no more, the pick is shifted, and the second another tuner."""
    curves = [curve("a", "1", 0.05, variant) for variant in ("shifted", "interpolated")] + [curve("a", "1", 0.01)]
    curves += [curve("b", "1", 0.02), curve("b", "1", 0.03, "shifted"), curve("b", "1", 0.04, "interpolated")]
    (advice,) = advise(curves)
    assert (advice["first"], advice["second"]) == ("a, shifted", "b, interpolated")


def test_what_is_missing_in_a_block_does_not_take_part():
    """A tuner without a complete row in every block is never advised, however good it was elsewhere."""
    curves = [curve("a", "1", 0.01), curve("a", "2", 0.01), curve("b", "1", 0.0), curve("b", "2", 0.0)]
    (advice,) = advise([*curves, curve("lucky", "1", 0.5)])
    assert advice["first"] == "a"


def test_every_budget_has_its_own_pick():
    """Budgets are advised on separately, ascending."""
    curves = [
        curve(t, "1", gain, budget=b) for b, t, gain in ((0.0, "a", 1), (0.0, "b", 0), (1.0, "a", 0), (1.0, "b", 1))
    ]
    assert [(a["budget"], a["first"]) for a in advise(curves)] == [(0.0, "a"), (1.0, "b")]


def test_one_tuner_is_no_choice():
    """With fewer than two complete variants there is nothing to advise."""
    assert advise([curve("a", "1", 0.1)]) == []


def test_means_weigh_every_block_the_same():
    """A tuner's line is the mean over blocks; one that is not ranked in every block has no line."""
    row = dict.fromkeys(AVERAGED, 1.0) | {"dataset": "d", "model": "m"}
    rows = [row | {"tuner": "a", "target": t, "ta_gain": g, "latency_ratio": None} for t, g in (("1", 0.0), ("2", 3.0))]
    rows += [row | {"tuner": "b", "target": "1"}, row | {"tuner": "b", "target": "2", "rank": None}]
    (line,) = summarise(rows)
    assert (line["tuner"], line["ta_gain"], line["latency_ratio"]) == ("a", 1.5, None)
