"""Low rank: every layer that gets smaller by it becomes two."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tunebench import Compression, CompressionTask, Inapplicable
from tunebench.compression import share
from tunebench_compression.parametrizations import is_held, weighted_layers
from tunebench_compression.training import recover


class LowRank(Compression):
    """Truncated singular value decompositions of Linear and convolutional layers (Denton et al. 2014)."""

    name = "lowrank"
    default = "0.25"
    summary = "Each layer becomes two of a share of its rank, by truncated SVD, then fine-tuning."

    def read(self, text: str) -> float:
        """The share of the rank that is kept."""
        return share(text)

    def compress(self, task: CompressionTask, value: float) -> nn.Module:
        """Factors of every layer but the output layer, where two of them have fewer weights than the one."""
        model = task.model
        ranks = {
            name: rank
            for name, layer in weighted_layers(model).items()
            if name != task.output and (rank := saving_rank(layer, value))
        }
        if not ranks:
            raise Inapplicable(f"no layer of the network gets smaller at {value:g} of its rank")
        for name, rank in ranks.items():
            put(model, name, factored(model.get_submodule(name), rank))
        return recover(model, task)

    def rebuild(self, task: CompressionTask, value: float, state: Mapping[str, Tensor]) -> nn.Module:
        """The same factors of other numbers."""
        model = task.model
        for name, layer in weighted_layers(model).items():
            if f"{name}.0.weight" in state:
                put(model, name, factored(layer, len(state[f"{name}.0.weight"])))
        return model


def saving_rank(layer: nn.Module, share: float) -> int:
    """The rank that is ``share`` of a layer's, 0 where factors of that rank have no fewer weights or cannot be made."""
    if is_held(layer) or getattr(layer, "groups", 1) > 1 or isinstance(layer, nn.Conv1d | nn.Conv3d):
        return 0
    out, fan_in = layer.weight.flatten(1).shape
    rank = max(1, math.ceil(share * min(out, fan_in)))
    return rank if rank * (out + fan_in) < out * fan_in else 0


def factored(layer: nn.Module, rank: int) -> nn.Sequential:
    """Two layers for one Linear or two-dimensional convolutional layer: the nearest of that rank, its bias kept."""
    u, s, v = torch.linalg.svd(layer.weight.detach().flatten(1), full_matrices=False)
    root = s[:rank].sqrt()
    left, right = u[:, :rank] * root, root[:, None] * v[:rank]
    biased = layer.bias is not None
    if isinstance(layer, nn.Linear):
        first: nn.Module = nn.Linear(layer.in_features, rank, bias=False)
        second: nn.Module = nn.Linear(rank, layer.out_features, bias=biased)
    else:
        steps = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        first = nn.Conv2d(layer.in_channels, rank, layer.kernel_size, bias=False, **steps)
        second = nn.Conv2d(rank, layer.out_channels, 1, bias=biased)
    with torch.no_grad():
        first.weight.copy_(right.view_as(first.weight))
        second.weight.copy_(left.view_as(second.weight))
        if biased:
            second.bias.copy_(layer.bias)
    return nn.Sequential(first, second)


def put(model: nn.Module, name: str, part: nn.Module) -> None:
    """Replace the part of ``model`` called ``name``."""
    owner, _, child = name.rpartition(".")
    setattr(model.get_submodule(owner), child, part)
