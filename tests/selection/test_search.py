"""The search on a real small network: its rules, and what it leaves to exact solving."""

import copy
import math

import pytest
import torch
import tunebench_calibration
import tunebench_synapse
from digits import digits_task, make_task
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tunebench import InvalidOutput, LogitEdit, Tuner
from tunebench.selection.search import finite, search, trials_of
from tunebench.selection.selector import Candidate, SearchOptions, Selector
from tunebench.selection.tradeoff import Score, feasible

OPTIONS = SearchOptions(trials=6, budget=0.5)


class Shifts(Tuner):
    """Adds a searched bias to the target's logit and writes down every call."""

    name = "shifts"

    def __init__(self, space):
        self.space, self.calls = space, []

    def search_space(self):
        """The given one."""
        return self.space

    def tune(self, task, params, prepared):
        """The sum of all numbers among the hyperparameters, in logits."""
        self.calls.append(dict(params))
        return LogitEdit.of_target(task, bias=float(sum(v for v in params.values() if not isinstance(v, str))))


class Ruinous(Tuner):
    """Predicts the target for everything."""

    name = "ruinous"

    def tune(self, task, params, prepared):
        """A bias that no other logit reaches."""
        return LogitEdit.of_target(task, bias=1e4)


class Returns(Tuner):
    """Returns whatever it was given."""

    name = "returns"

    def __init__(self, output):
        self.output = output

    def tune(self, task, params, prepared):
        """Whatever."""
        return self.output(task)


def tuner_named(name):
    """A bundled tuner without the plugin host."""
    bundled = [*tunebench_synapse.tunebench_tuners(), *tunebench_calibration.tunebench_tuners()]
    return next(tuner for tuner in bundled if tuner.name == name)


def logits_of(task, candidate):
    """Validation logits of a chosen candidate, from its definition."""
    edit = candidate.output
    logits = task.logits_valid + task.hidden_valid @ edit.weight.T + edit.bias
    logits[:, task.target] += candidate.shift
    return logits


def summary(selection):
    """Everything about a selection that must not vary."""
    points = {
        (variant, budget): (c.trial, c.params, c.score, c.scale, c.shift)
        for variant, by_budget in selection.chosen.items()
        for budget, c in by_budget.items()
    }
    return points, selection.history, selection.trials, selection.regret


def test_the_unchanged_original_is_always_a_choice():
    """A tuner whose every trial ruins OA falls back to the original: trial 0, nothing lost, nothing gained."""
    found = search(Ruinous(), digits_task(), OPTIONS).chosen["plain"][0.5]
    assert found.trial == 0
    assert found.params == {}
    assert found.score[2:] == (0, 0)
    assert not found.output.weight.any()
    assert not found.output.bias.any()


def test_every_choice_keeps_its_budget():
    """Chosen candidates are feasible at their budget, their scores are real, and more budget never gives less TA."""
    task = digits_task()
    n = len(task.y_valid)
    chosen = search(tuner_named("smvt-sj"), task, OPTIONS).chosen
    for by_budget in chosen.values():
        assert list(by_budget) == [0.0, 0.1, 0.2, 0.5, 1.0]
        for budget, candidate in by_budget.items():
            assert feasible(candidate.score, n, budget)
            right = logits_of(task, candidate).argmax(1) == task.y_valid
            assert int(right.sum()) == candidate.score.correct
            assert int(right[task.y_valid == task.target].sum()) == candidate.score.hits
        hits = [candidate.score.hits for candidate in by_budget.values()]
        assert hits == sorted(hits)
    for budget in chosen["plain"]:
        assert chosen["shifted"][budget].score.hits >= chosen["plain"][budget].score.hits


def test_the_chosen_budget_joins_the_curve():
    """A budget that is none of the curve's five is solved beside them."""
    assert SearchOptions(budget=0.3).budgets == (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
    assert SearchOptions(budget=0.2).budgets == (0.0, 0.1, 0.2, 0.5, 1.0)


@pytest.mark.parametrize(
    "space",
    [
        {"a": FloatDistribution(0.0, 1.0)},
        {"a": FloatDistribution(0.01, 1.0, log=True), "b": IntDistribution(1, 500)},
        {"a": IntDistribution(1, 24)},
    ],
    ids=["float", "mixed", "finite"],
)
def test_every_tuner_gets_the_same_number_of_trials(space):
    """With --trials 6 every searching tuner is called five times: trial 0 is the original."""
    tuner = Shifts(space)
    selection = search(tuner, digits_task(), OPTIONS)
    assert len(tuner.calls) == selection.trials == len(selection.history) == 5
    assert [entry["params"] for entry in selection.history] == tuner.calls


def test_an_empty_space_is_exactly_one_trial():
    """Without hyperparameters there is nothing to repeat."""
    tuner = Shifts({})
    assert search(tuner, digits_task(), OPTIONS).trials == 1
    assert tuner.calls == [{}]


def test_a_finite_space_is_walked_without_repeats():
    """Six points and thirty trials: every point once, then the search ends."""
    space = {"a": IntDistribution(1, 3), "b": CategoricalDistribution(["x", "y"])}
    asked = []
    for _, params, report in trials_of(space, 30, seed=1):
        asked.append(tuple(params.values()))
        report(Score(0, 0, 0, 0))
    assert sorted(asked) == [(1, "x"), (1, "y"), (2, "x"), (2, "y"), (3, "x"), (3, "y")]


def test_what_counts_as_finite():
    """Steps of an integer range are kept; floats and more than a thousand points are not a finite space."""
    assert finite({"a": IntDistribution(2, 8, step=3)}) == [{"a": 2}, {"a": 5}, {"a": 8}]
    assert finite({"a": FloatDistribution(0, 1)}) is None
    assert finite({"a": IntDistribution(1, 100), "b": IntDistribution(1, 11)}) is None


def test_the_search_is_deterministic():
    """The same tuner and task give the same selection, whatever the global random states are; another seed differs."""
    task = digits_task()
    space = {"a": FloatDistribution(0.0, 2.0)}
    torch.manual_seed(1)
    first = search(Shifts(space), task, OPTIONS)
    torch.manual_seed(2)
    assert summary(search(Shifts(space), task, OPTIONS)) == summary(first)
    other = search(Shifts(space), make_task(task.model, task.targets, seed=12), OPTIONS)
    assert [h["params"] for h in other.history] != [h["params"] for h in first.history]


def test_the_objective_ranks_ta_then_oa_then_parameters():
    """Among feasible candidates TA decides, then OA, then the fewest parameters; a full tie keeps the first."""
    task = digits_task()
    selector = Selector(task, SearchOptions(budget=100.0))
    base = selector.chosen["plain"][100.0].score
    skip = torch.zeros_like(task.hidden_train[0])
    skip[0] = 1e-30  # a synapse that changes no count

    def offered(trial, hits, correct, weight=None):
        score = Score(hits, correct, max(0, base.correct - correct), max(0, correct - base.correct))
        selector.offer("plain", Candidate(trial, {}, LogitEdit.of_target(task, weight), score))
        return selector.chosen["plain"][100.0].trial

    assert offered(1, base.hits + 1, base.correct - 9, skip) == 1
    assert offered(2, base.hits, base.correct + 9) == 1
    assert offered(3, base.hits + 1, base.correct - 8, skip) == 3
    assert offered(4, base.hits + 1, base.correct - 8) == 4
    assert offered(5, base.hits + 1, base.correct - 8) == 4


def brute_force_bias(task, budget):
    """Hits and correct of the best constant on the target's logit, from every sample's own breakpoint."""
    others = task.logits_valid.clone()
    others[:, task.target] = -torch.inf
    edges = (others.max(1).values - task.logits_valid[:, task.target]).double().sort().values
    before = task.logits_valid.argmax(1) == task.y_valid
    allowed = math.floor(budget * len(before) / 100 + 1e-9)
    best = (0, 0)
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if high <= 0 or high - low < 1e-4:
            continue
        logits = task.logits_valid.double().clone()
        logits[:, task.target] += max((low + high) / 2, 0)
        right = logits.argmax(1) == task.y_valid
        if int(before.sum()) - int(right.sum()) <= allowed:
            best = max(best, (int(right[task.y_valid == task.target].sum()), int(right.sum())))
    return best


@pytest.mark.parametrize("budget", [0.0, 0.5, 1.0])
def test_a_scalable_edit_is_solved_exactly(budget):
    """The bias chosen for logit-bias is the best of all, by brute force over every sample's breakpoint."""
    found = search(tuner_named("logit-bias"), digits_task(), OPTIONS).chosen["plain"][budget]
    assert (found.score.hits, found.score.correct) == brute_force_bias(digits_task(), budget)


def test_the_exact_sweep_has_no_regret():
    """No n and scale beats what smvt-sj-exact finds, and a search over n never beats it either."""
    task = digits_task()
    exact = search(tuner_named("smvt-sj-exact"), task, OPTIONS)
    searched = search(tuner_named("smvt-sj"), task, OPTIONS)
    assert exact.regret == 0
    assert searched.regret >= 0
    gap = exact.chosen["plain"][0.5].score.hits - searched.chosen["plain"][0.5].score.hits
    assert gap == searched.regret


def test_the_paper_protocol_searches_the_scale():
    """Under --protocol paper the scale is one more hyperparameter, and the edit is used at just that scale."""
    options = SearchOptions(trials=5, budget=0.5, protocol="paper")
    selection = search(tuner_named("smvt-sj"), digits_task(), options)
    assert all(set(entry["params"]) == {"n", "scale"} for entry in selection.history)
    assert all(0.25 <= entry["params"]["scale"] <= 16 for entry in selection.history)
    found = selection.chosen["plain"][1.0]
    if found.trial:
        entry = selection.history[found.trial - 1]
        assert found.scale == entry["params"]["scale"]
        assert found.params == {"n": entry["params"]["n"]}
    assert all(set(e["params"]) == {"n"} for e in search(tuner_named("smvt-sj"), digits_task(), OPTIONS).history)


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (lambda task: None, "returned NoneType, neither"),
        (lambda task: task.model, "task.model itself"),
        (lambda task: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 9)), r"shape \(597, 9\)"),
        (lambda task: LogitEdit.of_target(task, bias=float("nan")), "bias is not finite"),
    ],
    ids=["nothing", "the original", "classes", "nan"],
)
def test_what_cannot_be_scored_is_invalid(output, fault):
    """Each wrong return value of tune is refused in its own words."""
    with pytest.raises(InvalidOutput, match=fault):
        search(Returns(output), digits_task(), OPTIONS)


def test_several_targets_count_together():
    """With two targets hits are those of both classes, and the shifted variant moves both logits."""
    task = make_task(digits_task().model, (3, 8))
    selection = search(Returns(lambda task: copy.deepcopy(task.model)), task, OPTIONS)
    right = task.logits_valid.argmax(1) == task.y_valid
    both = (task.y_valid == 3) | (task.y_valid == 8)
    assert selection.chosen["plain"][1.0].score.hits == int(right[both].sum())
    assert selection.chosen["shifted"][1.0].score.hits > int(right[both].sum())


def test_at_one_demand_keeps_what_was_chosen_there():
    """A selection at one budget has the same candidates and the verdict of that budget alone."""
    found = search(tunebench_calibration.LogitBias(), digits_task(), OPTIONS)
    narrow = found.at(0.5)
    assert {variant: list(by) for variant, by in narrow.chosen.items()} == {variant: [0.5] for variant in found.chosen}
    assert all(narrow.chosen[variant][0.5] is found.chosen[variant][0.5] for variant in found.chosen)
    assert list(narrow.verdicts) == [0.5]
    assert len(found.verdicts) > 1
