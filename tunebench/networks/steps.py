"""Optimiser steps of plain stacks: those of `torch.optim` without its bookkeeping in Python.

Each function here makes a `Step`. On networks this small calls cost as much as numbers, so a step makes few: one for
all biases, one for all parameters, in operators that treat each tensor as they would alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from tunebench.networks.stacks import Layer, Slopes

Step = Callable[[Slopes], None]
"""Takes one step along a batch's slopes, in place."""


def descent(layers: list[Layer], lr: float, weight_decay: float) -> Step:
    """Plain SGD: the weights take the product itself, with no gradient between."""
    biases, kept = [layer.bias for layer in reversed(layers)], 1 - lr * weight_decay

    def step(slopes: Slopes) -> None:
        sums = []
        for k, delta, below in slopes:
            if weight_decay:
                layers[k].weight.mul_(kept)
            layers[k].weight.addmm_(delta.t(), below, alpha=-lr)
            sums.append(delta.sum(0))
        if weight_decay:
            torch._foreach_mul_(biases, kept)
        torch._foreach_sub_(biases, sums, alpha=lr)

    return step


def rolling(layers: list[Layer], lr: float, weight_decay: float, momentum: float) -> Step:
    """SGD with momentum: the velocity takes the product itself."""
    velocity = zeros(layers)
    values, moving = tensors(layers), tensors(velocity)
    biases = [layer.bias for layer in reversed(velocity)]

    def step(slopes: Slopes) -> None:
        sums = []
        for k, delta, below in slopes:
            velocity[k].weight.addmm_(delta.t(), below, beta=momentum)
            sums.append(delta.sum(0))
        torch._foreach_mul_(biases, momentum)
        torch._foreach_add_(biases, sums)
        if weight_decay:
            torch._foreach_add_(moving, values, alpha=weight_decay)
        torch._foreach_sub_(values, moving, alpha=lr)

    return step


def scheduled(
    layers: list[Layer], rates: Iterator[float], weight_decay: float, momentum: float, nesterov: bool
) -> Step:
    """`torch.optim.SGD` by its fused operator, the same to the last bit; ``rates`` are the step sizes."""
    grads = zeros(layers)
    values, slopes_of = tensors(layers), tensors(grads)
    velocity = tensors(zeros(layers)) if momentum else []
    first = itertools.chain([True], itertools.repeat(False))

    def step(slopes: Slopes) -> None:
        differentiate(grads, slopes)
        torch._fused_sgd_(
            values, slopes_of, velocity, lr=next(rates), weight_decay=weight_decay, momentum=momentum,
            dampening=0.0, nesterov=nesterov, maximize=False, is_first_step=next(first),
        )  # fmt: skip

    return step


def adamw(layers: list[Layer], rates: Iterator[float], weight_decay: float) -> Step:
    """`torch.optim.AdamW` by its fused operator, the same to the last bit; ``rates`` are the step sizes."""
    grads = zeros(layers)
    values, slopes_of = tensors(layers), tensors(grads)
    means, squares = tensors(zeros(layers)), tensors(zeros(layers))
    taken, count = torch.zeros((), device=values[0].device), itertools.count(1)

    def step(slopes: Slopes) -> None:
        differentiate(grads, slopes)
        taken.fill_(next(count))
        torch._fused_adamw_(
            values, slopes_of, means, squares, [], [taken] * len(values), lr=next(rates), beta1=0.9, beta2=0.999,
            weight_decay=weight_decay, eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip

    return step


def differentiate(grads: list[Layer], slopes: Slopes) -> None:
    """Write the gradients of one batch into ``grads``."""
    for k, delta, below in slopes:
        torch.mm(delta.t(), below, out=grads[k].weight)
        torch.sum(delta, 0, out=grads[k].bias)


def zeros(layers: list[Layer]) -> list[Layer]:
    """Buffers like ``layers``."""
    made = [(torch.zeros_like(layer.weight), torch.zeros_like(layer.bias)) for layer in layers]
    return [Layer(weight, weight.t(), bias) for weight, bias in made]


def tensors(layers: Iterable[Layer]) -> list[Tensor]:
    """Weight and bias of one layer after the other."""
    return [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
