"""Constants and factors on logits."""

import dataclasses

import numpy as np
import pytest
import torch
from digits import digits_task
from tunebench_calibration.scale import TargetScale, TauNorm
from tunebench_calibration.vector import RIDGE, LogitVector, MaxMinRecall, fitted, levelled

from tunebench.selection.search import search
from tunebench.selection.selector import SearchOptions


def test_the_fitted_vector_is_the_least_costly():
    """scipy's own minimiser of the same weighted cross entropy finds the same constants."""
    from scipy.optimize import minimize

    task = digits_task()
    logits, labels = task.logits_train.double(), task.y_train
    weight = torch.ones(10, dtype=torch.float64)
    weight[8] = 5.0
    share = (weight[labels] / weight[labels].sum()).numpy()

    def cost(vector):
        log_p = (logits + torch.from_numpy(vector)).log_softmax(1).gather(1, labels[:, None])[:, 0].numpy()
        return RIDGE / 2 * vector @ vector - share @ log_p

    expected = minimize(cost, np.zeros(10), method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9}).x
    assert torch.allclose(fitted(logits, labels, weight), torch.from_numpy(expected), atol=1e-3)


def test_certain_samples_keep_the_vector_finite():
    """A network that is right and certain everywhere asks for no constant."""
    logits = 50 * torch.eye(4, dtype=torch.float64)
    vector = fitted(logits, torch.arange(4), torch.tensor([9.0, 1, 1, 1], dtype=torch.float64))
    assert float(vector.abs().max()) < 1e-3


def test_recalls_are_levelled():
    """The expected recalls of all classes come together, where they were far apart."""
    task = digits_task()
    logits, labels = task.logits_train.double(), task.y_train

    def spread(vector):
        p = (logits + vector).softmax(1).gather(1, labels[:, None])[:, 0]
        recalls = [float(p[labels == c].mean()) for c in range(10)]
        return max(recalls) - min(recalls)

    assert spread(levelled(logits, labels)) < 0.1 * spread(torch.zeros(10))


def test_recalls_of_a_sure_network_are_levelled():
    """Where logits are so large that recalls lie near 1, they come together too."""
    task = digits_task()
    logits = task.logits_train.double() + 12 * torch.nn.functional.one_hot(task.y_train, 10)
    before, after = (
        torch.stack([p[task.y_train == c].mean() for c in range(10)])
        for p in (
            (logits + vector).softmax(1).gather(1, task.y_train[:, None])[:, 0]
            for vector in (torch.zeros(10), levelled(logits, task.y_train))
        )
    )
    assert float(before.min()) > 0.99
    assert float(after.max() - after.min()) <= 2e-5


@pytest.mark.parametrize("sign", [1, -1])
def test_the_targets_logit_is_multiplied(sign):
    """The edit adds the logit itself once more, or takes it away, on every sample."""
    task = digits_task()
    edit = TargetScale().tune(task, {"sign": sign}, TargetScale().prepare(task))
    added = task.hidden_valid @ edit.weight.T + edit.bias
    assert torch.allclose(added[:, 8], sign * task.logits_valid[:, 8], atol=1e-4)
    assert not added[:, [c for c in range(10) if c != 8]].any()


def test_tau_one_gives_weights_of_one_length():
    """And 0 changes nothing."""
    task = digits_task()
    layer = TauNorm().prepare(task)
    lengths = (layer.weight + TauNorm().tune(task, {"tau": 1.0}, layer).weight).norm(dim=1)
    assert torch.allclose(lengths, lengths.mean().expand(10), rtol=1e-4)
    assert not TauNorm().tune(task, {"tau": 0.0}, layer).weight.any()


def test_layers_that_may_not_change_are_left():
    """Factors on the output layer's weights need its layer; constants on logits need none."""
    task = dataclasses.replace(digits_task(), synapse_layers=(0,))
    assert "may not change" in TargetScale().skip(task)
    assert "may not change" in TauNorm().skip(task)
    assert LogitVector().skip(task) is None


@pytest.mark.parametrize("tuner", [LogitVector(), MaxMinRecall(), TargetScale()], ids=lambda tuner: tuner.name)
@pytest.mark.parametrize("targets", [(8,), (3, 8)], ids=str)
def test_they_raise_the_targets(tuner, targets):
    """With a budget of 2 points each finds more hits than the original, and keeps the budget."""
    task = dataclasses.replace(digits_task(), targets=targets, target=targets[0])
    found = search(tuner, task, SearchOptions(budget=2.0)).chosen["plain"][2.0]
    before = (task.logits_valid.argmax(1) == task.y_valid) & torch.isin(task.y_valid, torch.tensor(targets))
    assert found.score.hits > int(before.sum())
    assert found.score.lost - found.score.gained <= 0.02 * len(task.y_valid)
