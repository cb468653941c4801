"""Gradients written by hand against autograd."""

import pytest
import torch
import torch.nn.functional as F

from tunebench.networks.losses import CrossEntropy, logit_gradient


def logits_and_labels(dtype=torch.float32, count=64):
    """Logits (count, 10) from sure to unsure, and labels (count,)."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(count, 10, generator=generator, dtype=torch.float64)
    scale = torch.logspace(-1, 2, count, dtype=torch.float64)
    return (logits * scale[:, None]).to(dtype), torch.randint(10, (count,), generator=generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 17, 64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
def test_cross_entropy_equals_autograd_to_the_last_bit(dtype, count, weighted, shifted):
    """Value and gradient are those of F.cross_entropy, so that nothing that was ever trained changes."""
    logits, labels = logits_and_labels(dtype, count)
    weight = torch.linspace(0.1, 20, 10, dtype=dtype) if weighted else None
    offset = torch.linspace(-3, 3, 10, dtype=dtype) if shifted else torch.zeros(10, dtype=dtype)
    loss = CrossEntropy(weight, offset if shifted else None)
    theirs = logits.clone().requires_grad_()
    value = F.cross_entropy(theirs + offset if shifted else theirs, labels, weight=weight)
    value.backward()
    assert torch.equal(loss(logits, labels), value)
    assert torch.equal(loss.gradient(logits, labels), theirs.grad)
    assert theirs.grad.abs().max() > 1e-3


def test_a_loss_without_a_gradient_of_its_own_takes_autograd():
    """Any function works, gives the gradient at the logits, and leaves them as they were."""
    logits, labels = logits_and_labels(torch.float64)
    slope = logit_gradient(lambda values, y: (values[torch.arange(len(y)), y] ** 2).sum())(logits, labels)
    expected = torch.zeros_like(logits)
    expected[torch.arange(64), labels] = 2 * logits[torch.arange(64), labels]
    torch.testing.assert_close(slope, expected)
    assert not logits.requires_grad


def test_a_loss_may_bring_its_gradient():
    """The method ``gradient`` of a loss is used in place of autograd."""
    assert logit_gradient(own := CrossEntropy())(*logits_and_labels()).shape == (64, 10)
    assert logit_gradient(own) == own.gradient
