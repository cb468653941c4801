"""What holds a weight in its compressed form through every training: parametrizations of torch on layers.

The tensor that training moves is the parameter ``original``; the layer computes with what the parametrization makes
of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

BYTE = 8
"""Bits, or signs, that one stored byte holds."""


class Masked(nn.Module):
    """Weights that stay zero: while a network trains they take no part, and so get no gradient, from any optimiser.

    In eval mode the layer computes with its parameter itself, which is the same and can be edited.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight, masked while training."""
        return weight * self.mask if self.training else weight

    def stored(self, original: Tensor) -> dict[str, Tensor]:
        """The non-zero values, and a bit for every weight that says where they are."""
        used = original.detach().ne(0)
        return {"values": original.detach()[used], "places": packed_bits(used)}


class Straight(torch.autograd.Function):
    """Straight-through estimation (Hinton 2012): another tensor goes forward, the gradient goes back to the first."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, instead: Tensor, through: Tensor) -> Tensor:
        """``instead``, in place of ``weight``."""
        ctx.save_for_backward(through)
        return instead

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        """The gradient where ``through`` is true."""
        return gradient * ctx.saved_tensors[0], None, None


class Sign(nn.Module):
    """Binary weights (BWN, Rastegari et al. 2016): the sign times the mean of |w| over each filter.

    The gradient passes straight through the sign where |w| <= 1.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with two values per filter, of shape (out, ...)."""
        size = scale_of(weight)
        binary: Tensor = Straight.apply(weight, torch.where(weight >= 0, size, -size), weight.abs() <= 1)
        return binary

    def stored(self, original: Tensor) -> dict[str, Tensor]:
        """A bit for every weight and a number for every filter."""
        return {"signs": packed_bits(original.detach() >= 0), "scale": scale_of(original.detach()).flatten()}


class Rounded(nn.Module):
    """Weights on a grid of integers from -``levels`` to ``levels``, times a number for each filter.

    The gradient passes straight through the rounding.
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, weight: Tensor) -> Tensor:
        """The weight, of shape (out, ...), on the grid."""
        zeros = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
        return torch.fake_quantize_per_channel_affine(
            weight, grid_of(weight, self.levels), zeros, 0, -self.levels, self.levels
        )

    def stored(self, original: Tensor) -> dict[str, Tensor]:
        """4 bits for every weight, for up to 7 levels, and a number for every filter."""
        scale = grid_of(original, self.levels)
        shaped = scale.view(-1, *[1] * (original.dim() - 1))
        return {"integers": packed_halves((original.detach() / shaped).round().to(torch.int64)), "scale": scale}


def grid_of(weight: Tensor, levels: int) -> Tensor:
    """The width of a step of the grid for each filter of a weight (out, ...): the largest is at its end, (out,)."""
    return (weight.detach().flatten(1).abs().amax(1) / levels).clamp_min(torch.finfo(weight.dtype).tiny)


def packed_halves(integers: Tensor) -> Tensor:
    """Two integers from -8 to 7 in a byte, the lower half first, uint8; the last byte is filled with zeros."""
    flat = (integers.flatten() & 15).to(torch.uint8)
    padded = torch.cat([flat, flat.new_zeros(len(flat) % 2)]).view(-1, 2)
    return padded[:, 0] | (padded[:, 1] << 4)


def scale_of(weight: Tensor) -> Tensor:
    """Mean of |w| over each filter of a weight (out, ...), (out, 1, ...)."""
    return weight.detach().abs().mean(dim=tuple(range(1, weight.dim())), keepdim=True)


def packed_bits(flags: Tensor) -> Tensor:
    """Eight flags in a byte, uint8; the last byte is filled with zeros."""
    flat = flags.flatten().to(torch.uint8)
    padded = torch.cat([flat, flat.new_zeros(-len(flat) % BYTE)]).view(-1, BYTE)
    return (padded << torch.arange(BYTE, dtype=torch.uint8, device=flat.device)).sum(1, dtype=torch.uint8)


def weighted_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Every Linear and convolutional layer of ``model`` with a weight of its own, by name, first to last."""
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return {name: part for name, part in model.named_modules() if isinstance(part, kinds)}


def is_held(layer: nn.Module) -> bool:
    """Whether a layer's weight has a compressed form already."""
    return parametrize.is_parametrized(layer, "weight")


def hold(layers: Iterable[nn.Module], makers: Mapping[int, nn.Module] | nn.Module) -> None:
    """Register a parametrization on the weight of each of ``layers``: one for all, or by ``id`` of the layer."""
    for layer in layers:
        form: Any = makers if isinstance(makers, nn.Module) else makers[id(layer)]
        parametrize.register_parametrization(layer, "weight", form, unsafe=True)
