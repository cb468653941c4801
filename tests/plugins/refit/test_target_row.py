"""The target's row alone: the loss on its margin, and which units join it."""

import dataclasses

import pytest
import torch
from digits import digits_task
from tunebench_refit.softmax import minimise
from tunebench_refit.target_row import Refit, RefitSparse, against_the_rest, greedy, promises, refitted_on

PARAMS = {"lambda": 4.0, "l2": 1e-3}


@pytest.fixture(scope="module")
def loss():
    """The loss for digit 8 in float64."""
    task = digits_task()
    found = against_the_rest(task, Refit().prepare(task).design, PARAMS["lambda"], PARAMS["l2"])
    return dataclasses.replace(
        found, **{name: getattr(found, name).double() for name in ("design", "logits", "weight")}
    )


def test_it_is_logistic_regression_on_the_margin():
    """Weighted log(1 + exp(-+margin)); other classes count where the original has them right, targets lambda times."""
    task = digits_task()
    loss = against_the_rest(task, Refit().prepare(task).design, 4.0, 0.0)
    total = weights = 0.0
    for logits, label in zip(task.logits_train.double(), task.y_train.tolist(), strict=True):
        margin = logits[8] - max(logits[c] for c in range(10) if c != 8)
        weight = 4.0 if label == 8 else float(logits.argmax() == label)
        total += weight * float(torch.log1p(torch.exp(-margin if label == 8 else margin)))
        weights += weight
    assert loss.at(loss.origin).value == pytest.approx(total / weights, rel=1e-5)


@pytest.mark.parametrize("tuner", [Refit(), RefitSparse()], ids=lambda tuner: tuner.name)
def test_no_other_logit_is_touched(tuner):
    """Only the target's row and bias move."""
    task = digits_task()
    edit = tuner.tune(task, PARAMS | {"n": 5}, tuner.prepare(task))
    others = [c for c in range(10) if c != 8]
    assert edit.bias[8] != 0
    assert not edit.weight[others].any()
    assert not edit.bias[others].any()


def test_several_targets_compete_with_the_best_of_the_rest():
    """A softmax over both targets and the best other logit, each sample with the label of its target or the rest."""
    task = dataclasses.replace(digits_task(), targets=(8, 3))
    loss = against_the_rest(task, Refit().prepare(task).design, 4.0, 0.0)
    rest = [c for c in range(10) if c not in (8, 3)]
    assert torch.equal(loss.logits[:, 0], task.logits_train[:, rest].amax(1))
    assert torch.equal(loss.logits[:, 1:], task.logits_train[:, [8, 3]])
    assert torch.equal(loss.labels, (task.y_train == 8) + 2 * (task.y_train == 3))


@pytest.mark.parametrize("n", [1, 3, 16])
def test_at_most_n_units_join(n):
    """The edit has n synapses, fewer only where fewer help."""
    task, tuner = digits_task(), RefitSparse()
    edit = tuner.tune(task, PARAMS | {"n": n}, tuner.prepare(task))
    assert int(edit.weight.count_nonzero()) == n


def test_all_units_are_the_whole_refit(loss):
    """With room for every unit the greedy choice ends at the optimum of all of them."""
    lively = int(loss.design[:, :-1].any(0).sum())
    full = loss.at(minimise(loss, 1e-6)).value
    assert loss.at(greedy(loss, lively)).value == pytest.approx(full, rel=1e-3)


def test_every_unit_lowers_the_loss(loss):
    """The loss falls with each unit that joins."""
    values = [loss.at(greedy(loss, n)).value for n in (0, 1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 5


def test_a_promise_is_the_fall_of_the_quadratic_model(loss):
    """Twice what the second-order expansion loses when one column and those taken move together."""
    taken, candidate = [3, 20], 30
    found = refitted_on(loss, taken)
    point = loss.at(found)
    some = [*taken, loss.design.shape[1] - 1, candidate]
    hessian = torch.stack([loss.curvature(point.chances, row[None])[0] for row in torch.eye(loss.design.shape[1])])
    gradient = torch.zeros(len(some), dtype=torch.float64)
    gradient[-1] = point.gradient[0, candidate]
    expected = gradient @ torch.linalg.solve(hessian[some][:, some], gradient)
    assert float(promises(loss, found, taken)[candidate]) == pytest.approx(float(expected), rel=1e-3)


def test_the_first_unit_is_among_the_best_of_all(loss):
    """Of all single units, each refitted exactly, the one that joins is in the best tenth."""
    first = int(greedy(loss, 1)[0, :-1].nonzero()[0, 0])
    values = [loss.at(refitted_on(loss, [unit])).value for unit in range(loss.design.shape[1] - 1)]
    assert sorted(values).index(values[first]) < 5


def test_units_of_a_forbidden_layer_do_not_join():
    """Where the user allows no synapse from the second hidden layer none is proposed."""
    task = dataclasses.replace(digits_task(), synapse_layers=(0,))
    for tuner in (Refit(), RefitSparse()):
        edit = tuner.tune(task, PARAMS | {"n": 16}, tuner.prepare(task))
        assert edit.weight[8, :32].any()
        assert not edit.weight[8, 32:].any()
        assert "may get a synapse" in tuner.skip(dataclasses.replace(task, synapse_layers=()))
