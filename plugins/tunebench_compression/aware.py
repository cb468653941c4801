"""Training that knows of the integers to come."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tunebench import CompressionTask
from tunebench_compression.integers import LEVELS, Int8, quantised
from tunebench_compression.parametrizations import Rounded, hold
from tunebench_compression.training import recover
from tunebench_compression.weights import free_layers

STEPS = 255
"""Of the 8-bit grid of a layer's inputs."""


class Int8Aware(Int8):
    """8-bit weights and activations, after training with both rounded in the forward pass (Jacob et al. 2018)."""

    name = "int8-qat"
    summary = "8-bit weights and activations as in int8, after training with both rounded (quantisation-aware)."

    def compress(self, task: CompressionTask, value: None) -> nn.Module:
        """Gradients pass straight through the rounding; then as `Int8`, which finds weights on its own grid."""
        layers = free_layers(task.model, but=task.output)
        hold(layers, Rounded(LEVELS))
        hooks = [layer.register_forward_pre_hook(round_inputs) for layer in layers]
        recover(task.model, task)
        for hook in hooks:
            hook.remove()
        return quantised(task)


def round_inputs(layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A layer's inputs on a grid over the range of their batch, zero among its points."""
    x = given[0]
    low, high = x.detach().min().clamp(max=0), x.detach().max().clamp(min=0)
    scale = ((high - low) / STEPS).clamp_min(torch.finfo(x.dtype).tiny)
    zero = (-low / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, STEPS), *given[1:]
