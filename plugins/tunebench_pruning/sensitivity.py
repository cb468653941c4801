"""How much the loss on the target classes depends on each parameter or hidden neuron (docs/methods.md, section 3)."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunebench_pruning.masks import linear_layers, linear_parameters, lowest


def loss_change(model: nn.Module, x: Tensor, y: Tensor) -> list[list[Tensor]]:
    """``w * mean over samples of dL/dw`` per Linear layer, as ``[weight, bias]`` or ``[weight]``.

    Up to its sign, the first-order change of the mean cross entropy on ``x`` (N, ...), ``y`` (N,) int64 when
    a parameter is removed; shaped like the parameters. ``model`` is only read.
    """
    model = copy.deepcopy(model).requires_grad_(True)
    parameters = linear_parameters(model)
    gradients = [torch.zeros_like(parameter) for parameter in parameters]
    for part_x, part_y in zip(torch.split(x, 1024), torch.split(y, 1024), strict=True):
        loss = F.cross_entropy(model(part_x), part_y, reduction="sum") / len(y)
        for total, gradient in zip(
            gradients, torch.autograd.grad(loss, parameters, materialize_grads=True), strict=True
        ):
            total += gradient
    changes = iter([(p.detach() * g) for p, g in zip(parameters, gradients, strict=True)])
    return [[next(changes) for _ in layer.parameters()] for layer in linear_layers(model)]


def weight_sensitivity(changes: list[list[Tensor]]) -> list[Tensor]:
    """``|w * mean dL/dw|`` of every parameter over the mean of its layer, weight and bias taken together."""
    scores = []
    for layer in changes:
        mean = torch.cat([change.abs().flatten() for change in layer]).mean()
        scores += [change.abs() / _positive(mean) for change in layer]
    return scores


def neuron_sensitivity(changes: list[list[Tensor]]) -> list[Tensor]:
    """``|sum of w * mean dL/dw|`` over a hidden neuron's incoming weights and bias, over its layer's mean.

    One (units,) tensor per hidden layer; output neurons are no candidates.
    """
    scores = []
    for layer in changes[:-1]:
        score = sum((change.flatten(1).sum(1) if change.dim() > 1 else change) for change in layer)
        assert isinstance(score, Tensor)
        scores.append(score.abs() / _positive(score.abs().mean()))
    return scores


def least_sensitive_weights(changes: list[list[Tensor]], share: float) -> list[Tensor]:
    """Masks over `linear_parameters` of the lowest ``share`` of all parameters."""
    return lowest(weight_sensitivity(changes), share)


def least_sensitive_neurons(changes: list[list[Tensor]], share: float) -> list[Tensor]:
    """Masks over `linear_parameters` of all weights into and out of the lowest ``share`` of neurons."""
    masks = [[torch.zeros_like(change, dtype=torch.bool) for change in layer] for layer in changes]
    for k, pruned in enumerate(lowest(neuron_sensitivity(changes), share)):
        for mask in masks[k]:
            mask[pruned] = True
        masks[k + 1][0][:, pruned] = True
    return [mask for layer in masks for mask in layer]


def _positive(mean: Tensor) -> Tensor:
    """Keep a layer that the loss does not depend on at all at score 0 instead of NaN."""
    return mean.clamp_min(torch.finfo(mean.dtype).tiny)
