"""CW-P, CS-P and CS-P with fine-tuning: exact counts, sensitivities by hand, masks that hold."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import tunebench_pruning
from digits import assert_keeps_the_rules, digits_task, make_task, target_recall, tuned
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune
from tunebench_pruning import ClassSensitivePruning, ClassWeightedPruning, FineTunedClassSensitivePruning
from tunebench_pruning.masks import kept_count, linear_parameters, lowest, smallest_weights, zero_out
from tunebench_pruning.sensitivity import (
    least_sensitive_neurons,
    loss_change,
    neuron_sensitivity,
    weight_sensitivity,
)

from tunebench.networks.training import minibatches

PARAMS = {"lambda": 4.0, "lr_multiplier": 1.0, "steps": 60, "share": 0.1}


@pytest.fixture(scope="session")
def task():
    """Digit 8 on a small under-trained network."""
    return digits_task()


def model1():
    """Model 1 of Xu & Wang 2026 with 85,614 parameters."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = (nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 10))
        return nn.Sequential(nn.Flatten(), *parts).requires_grad_(False)


def nonzero(model):
    """The number of parameters that are not zero."""
    return sum(int(parameter.count_nonzero()) for parameter in model.parameters())


def test_one_percent_of_model_1_leaves_84757():
    """The published figure of CW-P at 1 %, which torch's own pruning misses by one."""
    model = model1()
    assert nonzero(model) == 85_614
    zero_out(linear_parameters(model), smallest_weights(model, 0.01))
    assert nonzero(model) == 84_757


@pytest.mark.parametrize(
    ("total", "share", "kept"),
    [(85_614, 0.01, 84_757), (10, 0.1, 9), (10, 0.9, 1), (1000, 0.003, 997), (7, 0, 7)],
)
def test_kept_count_rounds_down(total, share, kept):
    """What is kept is floor((1 - share) * N), also where binary fractions fall short of a whole number."""
    assert kept_count(total, share) == kept


@given(values=st.lists(st.integers(0, 3), min_size=1, max_size=40), share=st.floats(0, 1))
def test_masks_have_the_exact_count_with_ties(values, share):
    """However many scores are equal, the count is exact and nothing pruned outranks anything kept."""
    scores = torch.tensor(values, dtype=torch.float32)
    first, second = lowest([scores[:1].view(1, 1), scores[1:]], share)
    assert first.shape == (1, 1)
    pruned = torch.cat([first.flatten(), second])
    assert int((~pruned).sum()) == kept_count(len(values), share)
    if pruned.any() and not pruned.all():
        assert scores[pruned].max() <= scores[~pruned].min()


def test_zeros_go_first():
    """Weights that are zero already use up the pruned share, so the number of non-zero ones is exact."""
    model = model1()
    model[3].weight[:5] = 0.0
    model[1].bias[:] = 0.0
    zero_out(linear_parameters(model), smallest_weights(model, 0.01))
    assert nonzero(model) == 84_757


def test_magnitude_masks_agree_with_torch():
    """Global magnitude pruning picks what torch.nn.utils.prune picks for the same number of weights."""
    model, theirs = model1(), model1()
    masks = smallest_weights(model, 0.2)
    layers = [part for part in theirs if isinstance(part, nn.Linear)]
    where = [(layer, name) for layer in layers for name in ("weight", "bias")]
    prune.global_unstructured(where, prune.L1Unstructured, amount=sum(int(mask.sum()) for mask in masks))
    for (layer, name), mask in zip(where, masks, strict=True):
        assert torch.equal(getattr(layer, f"{name}_mask") == 0, mask)


def test_sensitivity_is_the_mean_gradient_times_the_weight(task):
    """Scores equal those from one gradient per sample, averaged and normalised in numpy."""
    model = copy.deepcopy(task.model).double()
    rows = (task.y_train == 8).nonzero().flatten()[:20]
    x, y = task.x_train[rows].double(), task.y_train[rows]
    gradients = []
    for k in range(len(rows)):
        model.zero_grad()
        F.cross_entropy(model(x[k : k + 1]), y[k : k + 1]).backward()
        gradients.append([parameter.grad.numpy().copy() for parameter in model.parameters()])
    means = [np.mean(each, axis=0) for each in zip(*gradients, strict=True)]
    raw = [abs(w.detach().numpy() * g) for w, g in zip(model.parameters(), means, strict=True)]
    expected = []
    for weight, bias in zip(raw[::2], raw[1::2], strict=True):
        layer_mean = (weight.sum() + bias.sum()) / (weight.size + bias.size)
        expected += [weight / layer_mean, bias / layer_mean]
    scores = weight_sensitivity(loss_change(model, x, y))
    assert len(scores) == len(expected) == 6
    for mine, theirs in zip(scores, expected, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-10, atol=1e-14)


def test_sensitivity_does_not_depend_on_the_chunks(task):
    """More samples than one chunk of the forward pass give the mean over all of them."""
    model = copy.deepcopy(task.model).double()
    x, y = task.x_train.double(), task.y_train
    literal = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    changes = [change for layer in loss_change(model, x, y) for change in layer]
    assert len(y) > 1024
    for parameter, gradient, change in zip(model.parameters(), literal, changes, strict=True):
        torch.testing.assert_close(change, parameter.detach() * gradient, rtol=1e-9, atol=1e-14)


def test_a_layer_without_influence_scores_zero():
    """A dead layer gives zeros instead of NaN, and is pruned first."""
    scores = weight_sensitivity([[torch.zeros(2, 2), torch.zeros(2)], [torch.ones(1, 2), torch.ones(1)]])
    assert torch.cat([score.flatten() for score in scores]).tolist() == [0.0] * 6 + [1.0] * 3


def test_cs_p_prunes_the_least_sensitive_and_nothing_else(task):
    """The count is exact, survivors keep their value, and no pruned score exceeds a surviving one."""
    tuner = ClassSensitivePruning()
    model = tuned(tuner, task, {"share": 0.2})
    total = nonzero(task.model)
    assert nonzero(model) == kept_count(total, 0.2) < total
    scores = weight_sensitivity(tuner.prepare(task))
    gone = torch.cat([(p == 0).flatten() for p in linear_parameters(model)])
    flat = torch.cat([score.flatten() for score in scores])
    assert flat[gone].max() <= flat[~gone].min()
    for mine, original in zip(linear_parameters(model), linear_parameters(task.model), strict=True):
        assert torch.equal(mine[mine != 0], original[mine != 0])


def test_cs_p_looks_at_the_targets_only(task):
    """Scores come from the training samples of all targets, and of no other class."""
    tuner = ClassSensitivePruning()
    both = dataclasses.replace(task, targets=(8, 3))
    rows = (task.y_train == 8) | (task.y_train == 3)
    expected = loss_change(task.model, task.x_train[rows], task.y_train[rows])
    assert torch.equal(tuner.prepare(both)[0][0], expected[0][0])
    assert not torch.equal(tuner.prepare(both)[0][0], tuner.prepare(task)[0][0])


def test_neuron_form_removes_whole_neurons(task):
    """The neuron form zeroes all that enters or leaves a neuron: the same as silencing it in the original."""
    tuner = ClassSensitivePruning("neuron")
    assert tuner.name == "cs-p-neuron"
    model = tuned(tuner, task, {"share": 0.25})
    silent = [(model[k].weight == 0).all(1) & (model[k].bias == 0) for k in (1, 3)]
    assert sum(int(s.sum()) for s in silent) == 12
    x = task.model[2](task.model[1](task.x_valid.flatten(1))).masked_fill(silent[0], 0.0)
    x = task.model[4](task.model[3](x)).masked_fill(silent[1], 0.0)
    torch.testing.assert_close(model(task.x_valid), task.model[5](x))
    assert (model[3].weight[:, silent[0]] == 0).all()
    assert (model[5].weight[:, silent[1]] == 0).all()


def test_neuron_scores_by_hand():
    """A neuron scores the absolute sum over its row and bias, over its layer's mean; outputs do not."""
    changes = [
        [torch.tensor([[1.0, -3.0], [2.0, 2.0]]), torch.tensor([1.0, 1.0])],
        [torch.ones(3, 2), torch.ones(3)],
    ]
    (scores,) = neuron_sensitivity(changes)
    assert scores.tolist() == pytest.approx([1 / 3, 5 / 3])
    masks = least_sensitive_neurons(changes, 0.5)
    assert [mask.int().tolist() for mask in masks] == [
        [[1, 1], [0, 0]],
        [1, 0],
        [[1, 0], [1, 0], [1, 0]],
        [0, 0, 0],
    ]


def test_cw_p_fine_tunes_with_the_weighted_loss_and_then_prunes(task):
    """CW-P is F.cross_entropy(weight=...) under torch's own SGD, then the smallest weights set to zero."""
    model = tuned(ClassWeightedPruning(), task, PARAMS)
    theirs = copy.deepcopy(task.model)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=task.learning_rate * PARAMS["lr_multiplier"])
    weight = torch.tensor([4.0 if label == 8 else 1.0 for label in range(10)])
    for x, y in minibatches(task.x_train, task.y_train, PARAMS["steps"], task.seed):
        optimizer.zero_grad()
        F.cross_entropy(theirs(x), y, weight=weight).backward()
        optimizer.step()
    assert nonzero(model) == kept_count(nonzero(task.model), PARAMS["share"])
    flat = torch.cat([p.detach().flatten() for p in linear_parameters(theirs)])
    mine = torch.cat([p.detach().flatten() for p in linear_parameters(model)])
    torch.testing.assert_close(mine[mine != 0], flat[mine != 0], rtol=1e-3, atol=1e-5)
    assert flat[mine == 0].abs().max() <= flat[mine != 0].abs().min() + 1e-5


@pytest.mark.parametrize("tuner", [ClassWeightedPruning(), FineTunedClassSensitivePruning()], ids=lambda t: t.name)
@pytest.mark.parametrize("targets", [(8,), (8, 3)])
def test_a_larger_lambda_raises_the_targets(task, tuner, targets):
    """More weight on the targets, one or several, buys more of their training samples."""
    task = dataclasses.replace(task, targets=targets)
    low, high = (target_recall(tuned(tuner, task, PARAMS | {"lambda": value}), task) for value in (1.0, 20.0))
    assert high > low


def test_cs_p_ft_keeps_the_mask(task):
    """After fine-tuning exactly CS-P's pruned weights are zero, and all others have moved on."""
    share = {"share": PARAMS["share"]}
    pruned = tuned(ClassSensitivePruning(), task, share)
    model = tuned(FineTunedClassSensitivePruning(), task, PARAMS)
    for mine, mask in zip(linear_parameters(model), linear_parameters(pruned), strict=True):
        assert (mine[mask == 0] == 0).all()
    assert nonzero(model) == nonzero(pruned)
    assert not torch.equal(model[1].weight, pruned[1].weight)


def test_the_mask_holds_during_fine_tuning(task):
    """Pruned weights are zero in the forward pass of every step, not only at the end."""
    once = {**PARAMS, "steps": 2}
    model = tuned(FineTunedClassSensitivePruning(), task, once)
    step = copy.deepcopy(task)
    current = tuned(ClassSensitivePruning(), task, once)
    masks = [parameter == 0 for parameter in linear_parameters(current)]
    weight = torch.ones(10)
    weight[8] = once["lambda"]
    for x, y in minibatches(step.x_train, step.y_train, 2, step.seed):
        gradients = torch.autograd.grad(
            F.cross_entropy(current(x), y, weight=weight), linear_parameters(current.requires_grad_(True))
        )
        with torch.no_grad():
            for parameter, gradient in zip(linear_parameters(current), gradients, strict=True):
                parameter -= step.learning_rate * gradient
        zero_out(linear_parameters(current), masks)
    torch.testing.assert_close(model(task.x_valid), current(task.x_valid), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tuner", [*tunebench_pruning.tunebench_tuners(), ClassSensitivePruning("neuron")])
def test_pruning_keeps_the_rules(task, tuner):
    """Each member returns a deterministic tuned copy and touches nothing else."""
    assert tuner.skip(task) is None
    assert_keeps_the_rules(tuner, task, PARAMS)


def test_pruning_skips_what_it_cannot_prune(task):
    """No Linear layer, no sample of the target, no stack of layers: a reason each, never a crash."""
    conv = dataclasses.replace(task, model=nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten()))
    for tuner in tunebench_pruning.tunebench_tuners():
        assert "no Linear layers" in tuner.skip(conv)
    absent = dataclasses.replace(task, y_train=torch.zeros_like(task.y_train))
    assert "no training samples" in ClassSensitivePruning().skip(absent)
    assert ClassWeightedPruning().skip(absent) is None
    single = make_task(nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)), (8,))
    assert ClassSensitivePruning("neuron").skip(single) is None
    flat = dataclasses.replace(task, model=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    assert "not a stack" in ClassSensitivePruning("neuron").skip(flat)
    assert ClassSensitivePruning().skip(flat) is None
