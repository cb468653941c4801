"""Fine-tuning: it trains as the loop does, draws from its own seed, and takes back what diverged."""

import pytest
import torch
import torch.nn.functional as F
from small_stack import distance, samples, stack
from torch import nn

from tunebench.networks.training import Optimiser, fine_tune, minibatches, sgd, train


def dropout():
    """A network that draws random numbers while it trains."""
    with torch.random.fork_rng():
        torch.manual_seed(8)
        parts = (nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, 4))
        return nn.Sequential(*parts).double().eval()


@pytest.mark.parametrize("make", [stack, dropout])
def test_fine_tuning_depends_on_its_seed_and_leaves_the_generator_alone(make):
    """Random layers draw from the seed given, and the global generator is as it was."""
    x, y = samples()

    def result(seed):
        model = make()
        fine_tune(model, minibatches(x, y, 5, 0), F.cross_entropy, 0.1, seed)
        return model

    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = result(3)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert distance(first, result(3)) == 0
    assert (distance(first, result(4)) > 0) == (make is dropout)
    assert not any(part.training for part in first.modules())
    assert all(parameter.grad is None for parameter in first.parameters())


def test_fine_tuning_equals_sgd_with_weight_decay():
    """On a plain stack fine_tune is sgd, with the same step size and L2 penalty."""
    x, y = samples()
    mine, theirs = stack(), stack()
    fine_tune(mine, minibatches(x, y, 20, 0), F.cross_entropy, 0.1, 0, weight_decay=0.05)
    sgd(theirs, minibatches(x, y, 20, 0), F.cross_entropy, 0.1, weight_decay=0.05)
    assert distance(mine, theirs) == 0


def test_fine_tuning_takes_any_optimiser():
    """With an `Optimiser` in place of a step size fine_tune is `train` with it."""
    x, y = samples()
    mine, theirs, plain = stack(), stack(), stack()
    chosen = Optimiser(0.01, "adamw", "one-cycle", 20, weight_decay=0.05)
    fine_tune(mine, minibatches(x, y, 20, 0), F.cross_entropy, chosen, 0)
    train(theirs, minibatches(x, y, 20, 0), F.cross_entropy, chosen)
    fine_tune(plain, minibatches(x, y, 20, 0), F.cross_entropy, 0.01, 0)
    assert distance(mine, theirs) == 0
    assert distance(mine, plain) > 0.01


def test_fine_tuning_moves_frozen_parameters():
    """A network that was frozen after training is trained on all the same."""
    x, y = samples()
    model = stack().requires_grad_(False)
    fine_tune(model, minibatches(x, y, 5, 0), F.cross_entropy, 0.1, 0)
    assert all(not torch.equal(p, q) for p, q in zip(model.parameters(), stack().parameters(), strict=True))


def test_diverged_fine_tuning_puts_the_weights_back():
    """After steps that end in NaN or infinity the network is what it was."""
    x, y = samples(torch.float32)
    model = stack(torch.float32)
    sgd(model, minibatches(x, y, 50, 0), F.cross_entropy, 1e20)
    assert not all(bool(parameter.isfinite().all()) for parameter in model.parameters())
    model = stack(torch.float32)
    fine_tune(model, minibatches(x, y, 50, 0), F.cross_entropy, 1e20, 0)
    assert distance(model, stack(torch.float32)) == 0
