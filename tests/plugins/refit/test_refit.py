"""Refits on frozen units: what they promise of their edits, on a small real network."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
import tunebench_refit
from digits import assert_keeps_the_rules, digits_task, target_recall, tuned
from tunebench_refit.units import all_units

from tunebench import LogitEdit
from tunebench.networks.edits import edited_logits
from tunebench.testing import small_task

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
    units = all_units(task)
    lively = units.scale.isfinite()
    assert units.design[:, :-1].mean(0).abs().max() < 1e-5
    assert units.design[:, :-1][:, lively].std(0).max() < 1.01
    coefficients = torch.randn(2, 49, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    added = logits_of(units.edit(task, [8, 3], coefficients), task) - task.logits_train
    torch.testing.assert_close(added[:, [8, 3]], units.design @ coefficients.float().t(), rtol=1e-4, atol=1e-4)
    assert not added[:, [0, 1, 2, 4, 5, 6, 7, 9]].any()


def test_a_unit_that_never_changes_gets_no_weight(task):
    """It is silent on the training data, so nothing is known about it."""
    hidden = task.hidden_train.clone()
    hidden[:, 5] = 0.7
    edit = edit_of("refit-all", dataclasses.replace(task, hidden_train=hidden))
    assert not edit.weight[:, 5].any()
    assert edit.weight[:, 6].any()


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
    logits = logits_of(edit_of(name, task, gamma=0.0, l2=1e-4), task)
    mine = task.y_train == task.target
    assert not (task.logits_train.argmax(1) == task.target).any()
    assert float((logits[mine].argmax(1) == task.target).double().mean()) > 0.8
