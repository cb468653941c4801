"""Which parameters of the Linear layers to prune, by exact count, and setting them to zero."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """Every Linear layer of ``model`` in module order."""
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def linear_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Weights and biases of every Linear layer: what pruning counts and may set to zero."""
    return [parameter for layer in linear_layers(model) for parameter in layer.parameters()]


def kept_count(total: int, share: float) -> int:
    """``floor((1 - share) * total)``: 84,757 of model 1's 85,614 at 1 % (Xu & Wang 2026, table 12).

    The 1e-9 keeps a product that is whole in decimals, such as 0.1 * 10, from losing one to binary rounding.
    """
    return math.floor((1 - share) * total + 1e-9)


def lowest(scores: Sequence[Tensor], share: float) -> list[Tensor]:
    """Boolean masks, shaped like ``scores``, of the lowest ``share`` over all of them together.

    Exactly ``total - kept_count(total, share)`` entries are True: of equal scores the earlier go first.
    """
    flat = torch.cat([score.flatten() for score in scores])
    dropped = len(flat) - kept_count(len(flat), share)
    pruned = torch.zeros_like(flat, dtype=torch.bool)
    pruned[flat.argsort(stable=True)[:dropped]] = True
    parts = torch.split(pruned, [score.numel() for score in scores])
    return [part.view_as(score) for part, score in zip(parts, scores, strict=True)]


def smallest_weights(model: nn.Module, share: float) -> list[Tensor]:
    """Masks over `linear_parameters` of the lowest ``share`` by magnitude, all layers together."""
    return lowest([parameter.detach().abs() for parameter in linear_parameters(model)], share)


@torch.no_grad()
def zero_out(parameters: Iterable[Tensor], pruned: Iterable[Tensor]) -> None:
    """Set the masked entries of ``parameters`` to zero in place."""
    for parameter, mask in zip(parameters, pruned, strict=True):
        parameter.masked_fill_(mask, 0.0)
