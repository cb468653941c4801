"""Refits on frozen units: what they promise of their edits, on a small real network."""

import dataclasses
import functools
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import tunebench_refit
from digits import assert_keeps_the_rules, digits_task, target_recall, tuned

from tunebench import LogitEdit
from tunebench.networks.activations import activations, forward
from tunebench.networks.edits import anatomy_of, edited_logits, fold
from tunebench.networks.sites import survey
from tunebench.testing import small_task
from tunebench.training import output_layer_of

sys.path.append(str(Path(__file__).parents[2] / "networks"))
from zoo import ZOO

TUNERS = {tuner.name: tuner for tuner in tunebench_refit.tunebench_tuners()}
PARAMS = {"n": 8, "gamma": 1.0, "C": 0.3, "lambda": 4.0, "l2": 1e-3}


@pytest.fixture(scope="module")
def task():
    """Digit 8 on a small under-trained network."""
    return digits_task()


def edit_of(name, task, **params):
    """What a tuner returns for ``params`` and the usual ones."""
    edit = TUNERS[name].tune(task, PARAMS | params, TUNERS[name].prepare(task))
    assert isinstance(edit, LogitEdit)
    return edit


def logits_of(edit, task):
    """Training logits with the edit."""
    return edited_logits(edit, task.hidden_train, task.logits_train)


@pytest.mark.parametrize("targets", [(8,), (8, 3)])
@pytest.mark.parametrize("name", TUNERS)
def test_refits_keep_the_rules(task, name, targets):
    """Each member is deterministic and touches nothing, for one target and for two."""
    task = dataclasses.replace(task, targets=targets)
    assert TUNERS[name].skip(task) is None
    assert_keeps_the_rules(TUNERS[name], task, PARAMS)


@pytest.mark.parametrize("targets", [(8,), (8, 3)])
@pytest.mark.parametrize("name", TUNERS)
def test_more_weight_raises_the_targets(task, name, targets):
    """A weight of 20 on the targets buys more of their samples than one of 1."""
    task = dataclasses.replace(task, targets=targets)
    less, more = (target_recall(tuned(TUNERS[name], task, PARAMS | {"lambda": value}), task) for value in (1.0, 20.0))
    assert more > less


@pytest.mark.parametrize("name", TUNERS)
def test_networks_without_units_are_skipped(task, name):
    """A linear model has nothing to refit on, and the reason says so."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    nothing = {"hidden_train": task.hidden_train[:, :0], "layer_of": task.layer_of[:0]}
    assert "hidden units" in TUNERS[name].skip(dataclasses.replace(task, model=model, **nothing))


def test_units_are_standardised_and_their_edits_raw(task):
    """Columns have mean 0 and variance 1, and an edit adds to the logits what its coefficients say."""
    units = TUNERS["refit"].prepare(task)
    assert units.design[:, :-1].mean(0).abs().max() < 1e-5
    assert units.design[:, :-1].std(0).max() < 1.01
    coefficients = torch.randn(
        2, len(units.columns) + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    added = logits_of(units.edit(task, [8, 3], coefficients), task) - task.logits_train
    torch.testing.assert_close(added[:, [8, 3]], units.design @ coefficients.float().t(), rtol=1e-4, atol=1e-4)
    assert not added[:, [0, 1, 2, 4, 5, 6, 7, 9]].any()


@pytest.mark.parametrize("jitter", [0.0, 1e-6])
@pytest.mark.parametrize("name", TUNERS)
def test_a_unit_as_good_as_constant_gets_no_weight(task, name, jitter):
    """Nothing is known about it, so it joins nothing, and DFR takes away what it had; all numbers stay finite."""
    hidden = task.hidden_train.clone()
    lively = int(hidden[:, 32:].std(0).argmax()) + 32
    hidden[:, lively] = 7.0 + jitter * torch.randn(len(hidden), generator=torch.Generator().manual_seed(0))
    edit = edit_of(name, dataclasses.replace(task, hidden_train=hidden))
    before = output_layer_of(task).weight[:, lively]
    assert torch.equal(edit.weight[:, lively], -before if name == "dfr" else torch.zeros(10))
    assert edit.weight.isfinite().all()
    assert edit.weight.any()


@pytest.mark.parametrize("name", TUNERS)
def test_folded_networks_agree_where_most_units_hardly_vary(name):
    """Of mobilenet_v3_small, whose units vary less than they are large, the network says what the edit says."""
    odd = mobilenet_task()
    edit = edit_of(name, odd)
    network = fold(odd.model, edit, anatomy_of(odd))
    expected = edited_logits(edit, odd.hidden_train, odd.logits_train)
    torch.testing.assert_close(forward(network, odd.x_train), expected, rtol=1e-3, atol=1e-3)


@functools.cache
def mobilenet_task():
    """Digit 8 on torchvision's mobilenet_v3_small after five steps."""
    small = small_task("digits")
    torch.manual_seed(0)
    x, y = small.x_train[:400], small.y_train[:400]
    model = ZOO["mobilenet_v3_small"].build(tuple(x.shape[1:]), 10).eval()
    train, valid = activations(model, x), activations(model, small.x_valid)
    return dataclasses.replace(
        small, model=model, target=8, targets=(8,), x_train=x, y_train=y,
        hidden_train=train.hidden, logits_train=train.logits, hidden_valid=valid.hidden, logits_valid=valid.logits,
        layer_of=survey(model, tuple(x.shape[1:])).layer_of,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["afr", "dfr"])
def test_a_forbidden_last_layer_skips_its_refits(task, name):
    """Where the output layer's units may get no synapse there is a reason; the other layer is nothing to them."""
    assert "may get a synapse" in TUNERS[name].skip(dataclasses.replace(task, synapse_layers=(0,)))
    assert TUNERS[name].skip(dataclasses.replace(task, synapse_layers=(1,))) is None
    assert not edit_of(name, dataclasses.replace(task, synapse_layers=(1,))).weight[:, :32].any()


def test_refit_all_lowers_the_weighted_loss(task):
    """What it minimises falls, most where the ridge is least."""
    weight = torch.ones(10)
    weight[8] = 4.0
    before = F.cross_entropy(task.logits_train, task.y_train, weight)
    held, free = (
        F.cross_entropy(logits_of(edit_of("refit-all", task, l2=l2), task), task.y_train, weight) for l2 in (0.1, 1e-5)
    )
    assert free < held < before


@pytest.mark.parametrize("name", [name for name in TUNERS if name != "dfr"])
def test_a_class_that_is_never_predicted_is_found(name):
    """Where probabilities of the target are next to 0, and with them all curvature, the solver still arrives."""
    task = small_task("never-predicted")
    logits = logits_of(edit_of(name, task, gamma=0.1, l2=1e-4), task)
    mine = task.y_train == task.target
    assert not (task.logits_train.argmax(1) == task.target).any()
    assert float((logits[mine].argmax(1) == task.target).double().mean()) > 0.8
