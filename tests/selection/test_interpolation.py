"""The interpolated variant on a real small network: what it offers, what it costs, what it may look at."""

import copy
from dataclasses import replace

import pytest
import torch
from digits import digits_task
from optuna.distributions import IntDistribution
from test_search import tuner_named
from torch import nn

from tunebench import LogitEdit, Tuner
from tunebench.grid.finishing import finished, rebuilt
from tunebench.grid.scoring import describe
from tunebench.networks.activations import forward
from tunebench.selection import interpolation, path
from tunebench.selection.interpolation import SHARES, interpolated
from tunebench.selection.outputs import Outputs, View
from tunebench.selection.search import Draft, considered, search
from tunebench.selection.selector import FEW, SearchOptions, Selector

OPTIONS = SearchOptions(trials=5, budget=5.0, confidence=0.8)


class Overshoots(Tuner):
    """Trains the last layer's bias and weights for the target, and goes several times too far."""

    name = "overshoots"

    def __init__(self, kind=nn.Module):
        self.kind = kind

    def search_space(self):
        """How many times as far, by a plain number."""
        return {"times": IntDistribution(1, 4)}

    def tune(self, task, params, prepared):
        """A copy whose row of the target follows its mean activation, or the same as an edit."""
        seen = task.hidden_train[:, -16:]
        mine = task.y_train == task.target
        row = 0.2 * params["times"] * (seen[mine].mean(0) - seen[~mine].mean(0))
        if self.kind is LogitEdit:
            return LogitEdit.of_target(task, nn.functional.pad(row, (32, 0)))
        model = copy.deepcopy(task.model)
        with torch.no_grad():
            model[-1].weight[task.target] += row
        return model


def rank(candidate):
    """What a budget's choice maximises."""
    return candidate.score[:2]


@pytest.mark.parametrize("kind", [nn.Module, LogitEdit])
def test_going_back_helps_who_went_too_far(kind):
    """It is never behind shifted, ahead at some budget, and its scores are those of the networks themselves."""
    task = digits_task()
    chosen = search(Overshoots(kind), task, OPTIONS).chosen
    pairs = [(chosen["interpolated"][demand], candidate) for demand, candidate in chosen["shifted"].items()]
    assert all(rank(mine) >= rank(other) for mine, other in pairs)
    assert any(rank(mine) > rank(other) for mine, other in pairs)
    for mine, _ in pairs:
        right = forward(finished(task, mine), task.x_valid).argmax(1) == task.y_valid
        assert rank(mine) == (int(right[task.y_valid == task.target].sum()), int(right.sum()))
        assert mine.share in (1.0, *SHARES)
    assert {c.share for by_demand in (chosen["plain"], chosen["shifted"]) for c in by_demand.values()} == {1.0}


@pytest.mark.parametrize("kind", [nn.Module, LogitEdit])
def test_a_record_is_enough_to_build_it_again(kind):
    """What is stored of an interpolated choice gives the same logits."""
    task, tuner = digits_task(), Overshoots(kind)
    choices = search(tuner, task, OPTIONS).chosen["interpolated"].values()
    mine = next(candidate for candidate in choices if candidate.share != 1)
    again = forward(rebuilt(task, tuner, describe(mine)), task.x_valid)
    torch.testing.assert_close(again, forward(finished(task, mine), task.x_valid))


def test_scaled_edits_are_solved_already():
    """Every multiple of a scalable edit has been a candidate, so that interpolated is what shifted is."""
    chosen = search(tuner_named("smvt-sj"), digits_task(), OPTIONS).chosen
    assert chosen["interpolated"] == chosen["shifted"]


class Wider(Tuner):
    """Returns another architecture: the network with a layer more."""

    name = "wider"

    def tune(self, task, params, prepared):
        """A bias on the target's logit, behind the output layer."""
        bias = nn.Linear(10, 10)
        with torch.no_grad():
            bias.weight.copy_(torch.eye(10))
            bias.bias.zero_()[task.target] = 0.5
        return nn.Sequential(copy.deepcopy(task.model), bias).eval()


def test_another_architecture_has_nothing_between():
    """Its own network and its shifts are all that there is."""
    chosen = search(Wider(), digits_task(), OPTIONS).chosen
    assert chosen["interpolated"] == chosen["shifted"]


class Poles(nn.Module):
    """Logits that are no numbers where a buffer is below 0, as a running variance beyond two networks can be."""

    def __init__(self, model, variance):
        super().__init__()
        self.model = copy.deepcopy(model)
        self.register_buffer("variance", torch.tensor(variance))

    def forward(self, x):
        """The logits, divided and multiplied by the root of it."""
        return self.model(x) / self.variance.sqrt() * self.variance.abs().sqrt()


def test_no_numbers_beyond_the_tuned_network_cost_no_cell():
    """Where the variance is negative the point is passed over; the others count."""
    task = replace(digits_task(), model=Poles(digits_task().model, 1.0))
    outputs = Outputs(task)
    selector = Selector(task, OPTIONS, view=View(outputs))
    tuned = Poles(Overshoots().tune(digits_task(), {"times": 4}, None), 0.25)
    considered([selector], Draft(1, {}, tuned), ray=False)
    interpolated([selector], outputs)
    shares = {candidate.share for candidate in selector.chosen["interpolated"].values()}
    assert shares & {0.25, 0.5, 0.75}
    assert 1.5 not in shares


def test_the_cost_is_bounded(monkeypatch):
    """Two selectors, each with its own trials: at most `FEW` trials for either, a forward per share."""
    task, outputs = digits_task(), Outputs(digits_task())
    made = []
    real = interpolation.between
    monkeypatch.setattr(interpolation, "between", lambda *a: made.append(a) or real(*a))
    beside = path.Path(task, OPTIONS, outputs)
    everyone = [Selector(task, OPTIONS, view=View(outputs)), beside.selector]
    for times in range(1, 9):
        considered(everyone, Draft(times, {}, Overshoots().tune(task, {"times": times}, None)), ray=False)
    interpolated(everyone, outputs)
    assert len(SHARES) <= len(made) <= 2 * FEW * len(SHARES)


def test_what_certifies_has_no_say(monkeypatch):
    """Other labels on V2 change what validation chooses, and nothing on the path that V2 will judge."""
    task = digits_task()
    rows, rest = path.parts(task)
    monkeypatch.setattr(path, "parts", lambda _: (rows, rest))
    labels = task.y_valid.clone()
    labels[rest] = torch.where(labels[rest] == task.target, (labels[rest] + 1) % 10, labels[rest])
    labels[rest[:40]] = task.target

    def choices(task):
        outputs = Outputs(task)
        beside = path.Path(task, OPTIONS, outputs)
        everyone = [Selector(task, OPTIONS, view=View(outputs)), beside.selector]
        for times in range(1, 5):
            considered(everyone, Draft(times, {}, Overshoots().tune(task, {"times": times}, None)), ray=False)
        interpolated(everyone, outputs)
        return [[(c.trial, c.share, c.shift, c.score) for c in s.chosen["interpolated"].values()] for s in everyone]

    (all_here, path_here), (all_there, path_there) = choices(task), choices(replace(task, y_valid=labels))
    assert path_here == path_there
    assert all_here != all_there
    assert any(share != 1 for _, share, *_ in path_here)
