"""Compressions that keep the layers and restrict their weights: pruned, or binary."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from tunebench import Compression, CompressionTask, Inapplicable
from tunebench.compression import share
from tunebench_compression.parametrizations import Masked, Rounded, Sign, hold, is_held, weighted_layers
from tunebench_compression.training import recover

MOST_HALF = 7
"""Largest integer of a 4-bit weight."""
ORIGINAL = ".parametrizations.weight.original"
"""Ending of a held weight's name in a state dict."""


class Prune(Compression):
    """Weights of the smallest magnitude, over all layers together, become zero and stay so (Han et al. 2015)."""

    name = "prune"
    default = "0.9"
    summary = "Share of the weights that become zero for good, the smallest of all layers together, then fine-tuning."

    def read(self, text: str) -> float:
        """The share that becomes zero."""
        return share(text)

    def compress(self, task: CompressionTask, value: float) -> nn.Module:
        """Zeros chosen by `torch.nn.utils.prune`, in two rounds with training after each, biases left out."""
        model = task.model
        layers = free_layers(model)
        halfway = 1 - (1 - value) ** 0.5
        hold_masked(layers, smallest(layers, halfway))
        recover(model, task, share=1 / 3)
        for layer, mask in zip(layers, smallest(layers, value), strict=True):
            layer.parametrizations.weight[0].mask.copy_(mask)
            layer.parametrizations.weight.original.detach().mul_(mask)
        return recover(model, task, share=2 / 3)

    def rebuild(self, task: CompressionTask, value: float, state: Mapping[str, Tensor]) -> nn.Module:
        """The same layers with masks."""
        model = task.model
        layers = held_layers(model, state)
        hold_masked(layers, [torch.ones_like(layer.weight) for layer in layers])
        return model


class Binary(Compression):
    """Each filter's weights become two values, plus and minus one number (BWN, Rastegari et al. 2016)."""

    name = "binary"
    summary = "Binary weights (BWN): the sign times one number per filter, in all layers but the output layer."

    def compress(self, task: CompressionTask, value: None) -> nn.Module:
        """Straight-through training; the output layer keeps its numbers, as in the paper."""
        model = task.model
        hold(free_layers(model, but=task.output), Sign())
        return recover(model, task)

    def rebuild(self, task: CompressionTask, value: None, state: Mapping[str, Tensor]) -> nn.Module:
        """The same layers with signs."""
        model = task.model
        hold(held_layers(model, state), Sign())
        return model


class Int4Weights(Compression):
    """Each filter's weights become 15 values, stored in 4 bits; they are computed with in float32."""

    name = "int4w"
    summary = "4-bit weights: integers from -7 to 7 times one number per filter, in all layers but the output layer."

    def compress(self, task: CompressionTask, value: None) -> nn.Module:
        """Straight-through training; the output layer keeps its numbers."""
        model = task.model
        hold(free_layers(model, but=task.output), Rounded(MOST_HALF))
        return recover(model, task)

    def rebuild(self, task: CompressionTask, value: None, state: Mapping[str, Tensor]) -> nn.Module:
        """The same layers with rounding."""
        model = task.model
        hold(held_layers(model, state), Rounded(MOST_HALF))
        return model


def free_layers(model: nn.Module, but: str | None = None) -> list[nn.Module]:
    """The layers of ``model`` whose weights are plain parameters, without the one called ``but``.

    Inapplicable where there is none.
    """
    found = [layer for name, layer in weighted_layers(model).items() if name != but and not is_held(layer)]
    if not found:
        raise Inapplicable("the network has no Linear or convolutional layer whose weights could be compressed")
    return found


def held_layers(model: nn.Module, state: Mapping[str, Tensor]) -> list[nn.Module]:
    """The layers that are plain in ``model`` and whose weights are held in a network with the names of ``state``."""
    layers = weighted_layers(model).items()
    return [layer for name, layer in layers if f"{name}{ORIGINAL}" in state and not is_held(layer)]


def hold_masked(layers: list[nn.Module], masks: list[Tensor]) -> None:
    """Hold the weight of every layer to its mask; what the mask leaves out becomes zero."""
    for layer, mask in zip(layers, masks, strict=True):
        layer.weight.detach().mul_(mask)
        hold([layer], Masked(mask))


def smallest(layers: list[nn.Module], amount: float) -> list[Tensor]:
    """Masks, 0 for the ``amount`` of the weights with the smallest magnitude, all layers together."""
    twins = [nn.Identity() for _ in layers]
    for twin, layer in zip(twins, layers, strict=True):
        twin.weight = nn.Parameter(layer.weight.detach().clone())
    prune.global_unstructured([(twin, "weight") for twin in twins], prune.L1Unstructured, amount=amount)
    return [twin.get_buffer("weight_mask") for twin in twins]
