"""Search spaces of any size, and the parameters that a tuner is handed."""

import pytest
from digits import digits_task
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tunebench import LogitEdit, Tuner
from tunebench.selection.search import finite, search, trials_of
from tunebench.selection.selector import SearchOptions
from tunebench.selection.tradeoff import Score


@pytest.mark.parametrize(
    "space",
    [
        {"a": IntDistribution(0, 2**31 - 1)},
        {"a": IntDistribution(0, 2**70)},
        {"a": IntDistribution(-(2**40), 2**40, step=8)},
        {"a": CategoricalDistribution(range(900)), "b": IntDistribution(0, 2**62)},
    ],
    ids=["32 bits", "more than a word", "with steps", "a product"],
)
def test_a_huge_space_is_searched_without_being_listed(space):
    """Sizes are arithmetic: a range that no memory holds goes to the sampler, which proposes values from it."""
    assert finite(space) is None
    found = [params for _, params, report in trials_of(space, 4, 0) if report(Score(0, 0, 0, 0)) is None]
    assert all(space[name]._contains(value) for params in found for name, value in params.items())
    assert len(found) == 3


def test_a_logarithmic_axis_is_sampled_on_its_scale():
    """Of 29 trials on 1 to 512 about a third lie below 8, as on a logarithmic scale; walked, one of 73 would."""
    space = {"a": IntDistribution(1, 512, log=True), "b": CategoricalDistribution(["x", "y"])}
    found = [params["a"] for _, params, report in trials_of(space, 30, 0) if report(Score(0, 0, 0, 0)) is None]
    assert sum(value < 8 for value in found) >= 5
    few = {"a": IntDistribution(1, 8, log=True)}
    assert sorted(params["a"] for _, params, _ in trials_of(few, 30, 0)) == list(range(1, 9))


def test_walked_spaces_keep_their_order():
    """The order of trials of a space of integers and categories is part of every published board."""
    space = {"n": IntDistribution(1, 10), "k": CategoricalDistribution(["a", "b"])}
    found = [tuple(params.values()) for _, params, _ in trials_of(space, 6, 7)]
    assert found == [(9, "b"), (8, "b"), (6, "b"), (10, "a"), (4, "b")]


class Pops(Tuner):
    """Takes its hyperparameters apart."""

    name = "pops"

    def search_space(self):
        """One bias."""
        return {"bias": FloatDistribution(0.5, 2.0)}

    def tune(self, task, params, prepared):
        """The bias, popped; and a parameter that was never asked for."""
        params["more"] = 1
        return LogitEdit.of_target(task, bias=params.pop("bias"))


@pytest.mark.parametrize("protocol", ["holdout", "paper"])
def test_what_a_record_says_is_what_was_tried(protocol):
    """A tuner that takes its parameters apart, or adds to them, leaves the record as it was, scalable or not."""
    for scalable in (False, True):
        tuner = Pops()
        tuner.scalable = scalable
        selection = search(tuner, digits_task(), SearchOptions(trials=4, budget=100.0, protocol=protocol))
        chosen = selection.chosen["plain"][100.0]
        assert chosen.trial >= 1
        assert set(chosen.params) == {"bias"}
        assert all(entry["params"].keys() - {"scale"} == {"bias"} for entry in selection.history)
