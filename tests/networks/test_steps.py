"""Optimiser steps of plain stacks against torch's own, one tensor after the other: the same to the last bit."""

import itertools

import pytest
import torch
from torch import nn

from tunebench.networks.losses import CrossEntropy
from tunebench.networks.stacks import backward, linear_stack, numbers
from tunebench.networks.steps import adamw, descent, differentiate, rolling, scheduled, zeros
from tunebench.networks.training import Optimiser, minibatches

STEPS = 150
DTYPES = (torch.float32, torch.float64)
SHAPES = ((13, 9, 7, 4), (37, 130, 3), (5, 3))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def stack(widths, dtype):
    """A stack with fixed weights, of which some are zero, tiny or large."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = [nn.Linear(wide, narrow) for wide, narrow in itertools.pairwise(widths)]
    parts = [part for layer in layers for part in (layer, nn.ReLU())]
    with torch.no_grad():
        layers[0].weight[0], layers[0].weight[1, :2], layers[-1].bias[0] = 0, 1e-41, 30
    return nn.Sequential(*parts[:-1]).to(dtype)


def batches(widths, dtype):
    """Batches of 64 random samples, of which the last of an epoch is smaller; an input is always zero."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(150, widths[0], generator=generator, dtype=dtype)
    x[:, 0] = 0
    return minibatches(x, torch.randint(widths[-1], (150,), generator=generator), STEPS, 0)


def taken(widths, dtype, make):
    """The layers after `STEPS` steps of what ``make`` makes of them."""
    layers = linear_stack(stack(widths, dtype))
    own, gradient = numbers(layers), CrossEntropy().gradient
    step = make(own, layers)
    for batch in batches(widths, dtype):
        step(backward(own, *batch, gradient))
    return layers


def by_torch(make, cycle):
    """Torch's optimiser with its bookkeeping, and its schedule."""

    def made(own, layers):
        grads = zeros(own)
        for layer, slope in zip(layers, grads, strict=True):
            layer.weight.grad, layer.bias.grad = slope.weight, slope.bias
        optimizer = make([p for layer in layers for p in layer.parameters()])
        schedule = cycle(optimizer) if cycle else None

        def step(slopes):
            differentiate(grads, slopes)
            optimizer.step()
            if schedule:
                schedule.step()

        return step

    return made


def by_tensors(lr, weight_decay, momentum):
    """SGD that takes products itself, written out for each tensor."""

    def made(own, _):
        velocity = zeros(own)

        def step(slopes):
            for k, delta, below in slopes:
                weight, bias, moving = own[k].weight, own[k].bias, velocity[k]
                if not momentum:
                    weight.mul_(1 - lr * weight_decay).addmm_(delta.t(), below, alpha=-lr)
                    bias.mul_(1 - lr * weight_decay).sub_(delta.sum(0), alpha=lr)
                    continue
                moving.weight.addmm_(delta.t(), below, beta=momentum)
                moving.bias.mul_(momentum).add_(delta.sum(0))
                for value, way in ((weight, moving.weight), (bias, moving.bias)):
                    value.sub_(way.add_(value, alpha=weight_decay) if weight_decay else way, alpha=lr)

        return step

    return made


def assert_same(mine, theirs, start):
    """All parameters are equal to the last bit, and others than at first."""
    for one, other in zip(mine, theirs, strict=True):
        assert torch.equal(one.weight, other.weight)
        assert torch.equal(one.bias, other.bias)
    assert not torch.equal(mine[-1].weight, linear_stack(start)[-1].weight)


@pytest.mark.parametrize("widths", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_by_products_are_those_of_every_tensor_alone(widths, dtype, weight_decay, momentum):
    """One call for all biases, or all parameters, changes no bit."""

    def make(own, _):
        return rolling(own, 0.02, weight_decay, momentum) if momentum else descent(own, 0.02, weight_decay)

    mine, theirs = (taken(widths, dtype, m) for m in (make, by_tensors(0.02, weight_decay, momentum)))
    assert_same(mine, theirs, stack(widths, dtype))


@pytest.mark.parametrize("widths", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sgd", {"weight_decay": 0.03}),
        ("sgd", {"weight_decay": 0.03, "momentum": 0.9}),
        ("sgd", {"momentum": 0.9, "nesterov": True}),
        ("adamw", {"weight_decay": 0.0}),
        ("adamw", {"weight_decay": 0.1}),
    ],
)
def test_steps_without_bookkeeping_are_torchs_to_the_last_bit(widths, dtype, schedule, name, options):
    """Torch's fused operators themselves, with either schedule, end at the very weights of torch's optimisers."""
    chosen = Optimiser(0.02, name, schedule, STEPS, **options)

    def make(own, _):
        if name == "adamw":
            return adamw(own, chosen.rates(), chosen.weight_decay)
        return scheduled(own, chosen.rates(), chosen.weight_decay, chosen.momentum, chosen.nesterov)

    def torchs(parameters):
        kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[name]
        return kind(parameters, lr=0.02, fused=True, **options)

    theirs = by_torch(torchs, chosen.cycle if schedule == "one-cycle" else None)
    assert_same(taken(widths, dtype, make), taken(widths, dtype, theirs), stack(widths, dtype))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 77, 1000])
@pytest.mark.parametrize("lr", [1e-3, 0.05, 1 / 3, 17.0])
def test_a_cycle_is_torchs_to_the_last_bit(steps, lr):
    """The step sizes of every step, and no more of them than torch's schedule has."""
    chosen = Optimiser(lr, schedule="one-cycle", steps=steps)
    optimizer = torch.optim.SGD([torch.zeros(())], lr)
    cycle, rates = chosen.cycle(optimizer), chosen.rates()
    for _ in range(steps):
        assert next(rates) == optimizer.param_groups[0]["lr"]
        optimizer.step()
        cycle.step()
    assert next(rates) == optimizer.param_groups[0]["lr"]
    with pytest.raises(ValueError, match=f"the {steps} steps"):
        next(rates)
