"""Losses of the fine-tuners: values against the formulas of their papers, gradients against autograd."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from digits import digits_task
from hypothesis import given, settings
from hypothesis import strategies as st
from tunebench_finetune.camri import AngularMargin, margin_on_targets
from tunebench_finetune.group_dro import group_robust
from tunebench_finetune.losses import (
    class_weighted,
    dynamically_weighted_balanced,
    logit_adjusted,
    vector_scaled,
)


@pytest.fixture(scope="session")
def task():
    """Digit 8 on a small under-trained network."""
    return digits_task()


def logits_and_labels():
    """A batch of 40 with logits large enough for confident and for wrong predictions."""
    generator = torch.Generator().manual_seed(0)
    return 4 * torch.randn(40, 10, generator=generator), torch.arange(40) % 10


def test_class_weighted_loss_is_torchs_own(task):
    """The loss is F.cross_entropy with lambda on every target and 1 elsewhere."""
    logits, y = logits_and_labels()
    loss = class_weighted(dataclasses.replace(task, targets=(8, 3)), {"lambda": 7.0})
    weight = torch.tensor([1.0, 1, 1, 7, 1, 1, 1, 1, 7, 1])
    assert loss(logits, y) == F.cross_entropy(logits, y, weight=weight)
    assert loss(logits, y) != F.cross_entropy(logits, y)


def test_dwb_loss_follows_the_formula(task):
    """Sample by sample the loss is w^(1-p) CE - p(1-p), averaged over the batch."""
    logits, y = logits_and_labels()
    total = 0.0
    for row, label in zip(logits.double().tolist(), y.tolist(), strict=True):
        p = math.exp(row[label]) / sum(map(math.exp, row))
        w = 5.0 if label in (8, 3) else 1.0
        total += w ** (1 - p) * -math.log(p) - p * (1 - p)
    loss = dynamically_weighted_balanced(dataclasses.replace(task, targets=(8, 3)), {"target_weight": 5.0})
    assert float(loss(logits.double(), y)) == pytest.approx(total / len(y), rel=1e-6)


def test_dwb_loss_has_finite_gradients(task):
    """Logits so far apart that p is 0 or 1 in float32 still give finite gradients."""
    logits = torch.tensor([[500.0, -500.0] + [0.0] * 8, [-500.0, 500.0] + [0.0] * 8], requires_grad=True)
    loss = dynamically_weighted_balanced(task, {"target_weight": 20.0})(logits, torch.tensor([0, 0]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all()
    assert gradient[1].abs().max() > 0.1


def test_logit_adjusted_loss_follows_the_formula(task):
    """The loss is -log of exp(f_y + tau log pi_y) over its sum, with targets ten times rarer under pi."""
    logits, y = logits_and_labels()
    prior = torch.ones(10, dtype=torch.float64)
    prior[[3, 8]] = 0.1
    prior /= prior.sum()
    adjusted = logits.double().exp() * prior**1.5
    expected = -(adjusted[torch.arange(40), y] / adjusted.sum(1)).log().mean()
    loss = logit_adjusted(dataclasses.replace(task, targets=(8, 3)), {"tau": 1.5})
    assert float(loss(logits.double(), y)) == pytest.approx(float(expected), rel=1e-6)


def test_vs_loss_follows_the_formula(task):
    """Sample by sample the loss is -log of exp(delta_y z_y + iota_y) over its sum."""
    logits, y = logits_and_labels()
    total = 0.0
    for row, label in zip(logits.double().tolist(), y.tolist(), strict=True):
        moved = [0.6 * z - 1.5 if c in (8, 3) else z for c, z in enumerate(row)]
        total -= math.log(math.exp(moved[label]) / sum(map(math.exp, moved)))
    params = {"delta": 0.6, "iota": -1.5}
    loss = vector_scaled(dataclasses.replace(task, targets=(8, 3)), params)
    assert float(loss(logits, y)) == pytest.approx(total / len(y), rel=1e-5)


def test_vs_loss_holds_logit_adjustment(task):
    """With delta 1 it is logit adjustment."""
    logits, y = logits_and_labels()
    adjusted = vector_scaled(task, {"delta": 1.0, "iota": -1.5 * math.log(10)})(logits, y)
    torch.testing.assert_close(adjusted, logit_adjusted(task, {"tau": 1.5})(logits, y))


def test_group_dro_follows_the_algorithm(task):
    """Over batches q_c takes exp(eta loss_c), a class that a batch lacks keeps its weight before all are normalised."""
    logits, y = logits_and_labels()
    q = [0.1] * 10
    loss = group_robust(task, {"eta": 0.3})
    for rows in (slice(0, 25), slice(20, 24), slice(5, 40)):
        losses = [0.0] * 10
        for c in range(10):
            mine = [
                -math.log(math.exp(row[c]) / sum(map(math.exp, row)))
                for row, label in zip(logits[rows].double().tolist(), y[rows].tolist(), strict=True)
                if label == c
            ]
            losses[c] = sum(mine) / len(mine) if mine else 0.0
        q = [weight * math.exp(0.3 * value) for weight, value in zip(q, losses, strict=True)]
        q = [weight / sum(q) for weight in q]
        expected = sum(weight * value for weight, value in zip(q, losses, strict=True))
        assert float(loss(logits[rows], y[rows])) == pytest.approx(expected, rel=1e-5)
    assert max(q) > 0.2


def test_camri_follows_the_formula(task):
    """Targets' samples have cos(theta + m) in place of cos(theta) of their own class, all times the scale."""
    generator = torch.Generator().manual_seed(1)
    cosines, y = 2 * torch.rand(40, 10, generator=generator, dtype=torch.float64) - 1, torch.arange(40) % 10
    total = 0.0
    for row, label in zip(cosines.tolist(), y.tolist(), strict=True):
        own = math.cos(math.acos(row[label]) + (0.4 if label in (8, 3) else 0.0))
        others = sum(math.exp(16 * c) for k, c in enumerate(row) if k != label)
        total -= math.log(math.exp(16 * own) / (math.exp(16 * own) + others))
    loss = margin_on_targets(dataclasses.replace(task, targets=(8, 3)), {"margin": 0.4, "scale": 16.0})
    assert float(loss(16 * cosines, y)) == pytest.approx(total / 40, rel=1e-6)


def test_angles_of_nothing_have_finite_gradients():
    """Features that lie on their row, against it or across it: no gradient is NaN or infinite."""
    logits = torch.tensor([[16.0, 0.0], [-16.0, 0.0], [0.0, 16.0]], requires_grad=True)
    loss = AngularMargin(torch.tensor([0.3, 0.0]), 16.0)(logits, torch.tensor([0, 0, 0]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all()


HAND_WRITTEN = {
    "vs-loss": (vector_scaled, {"delta": (0.3, 1.0), "iota": (-5.0, 0.0), "lambda": (1.0, 20.0)}),
    "dwb-loss": (dynamically_weighted_balanced, {"target_weight": (1.0, 20.0)}),
    "group-dro": (group_robust, {"eta": (1e-3, 0.1)}),
}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(HAND_WRITTEN)), size=st.integers(1, 70), spread=st.floats(0.1, 30))
def test_hand_written_gradients_equal_autograd(data, name, size, spread):
    """Anywhere in the search space, at sure and unsure logits and for any batch, also the second one of a loss."""
    make, ranges = HAND_WRITTEN[name]
    params = {key: data.draw(st.floats(*ends), label=key) for key, ends in ranges.items()}
    theirs, mine = make(digits_task(), params), make(digits_task(), params)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    for _ in range(2):
        logits = spread * torch.randn(size, 10, generator=generator)
        y = torch.randint(10, (size,), generator=generator)
        leaf = logits.clone().requires_grad_()
        (expected,) = torch.autograd.grad(theirs(leaf, y), leaf)
        torch.testing.assert_close(mine.gradient(logits, y), expected, rtol=1e-4, atol=1e-6)
