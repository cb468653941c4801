"""Networks with fewer channels: torch-pruning follows what depends on what."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tunebench import CompressionTask, Inapplicable
from tunebench_compression.parametrizations import is_held, weighted_layers

LIBRARY = "torch-pruning"


def thin(model: nn.Module, task: CompressionTask, ratio: float, ratios: Mapping[str, float] | None = None) -> nn.Module:
    """Take ``ratio`` of the channels of every layer but the output layer away, in place, in eval mode.

    Those with the smallest weights go, of all layers that share them. ``ratios`` are of some layers, by name.
    Inapplicable where the network cannot be followed.
    """
    import torch_pruning

    layers = weighted_layers(model)
    held = [name for name, layer in layers.items() if is_held(layer)]
    if held:
        raise Inapplicable(f"the weights of {held[0]} are held in a compressed form; take channels away before that")
    few = task.x[:2]
    model.eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch_pruning.pruner.BasePruner(
                model,
                few if len(few) else few.new_zeros(2, *few.shape[1:]),
                torch_pruning.importance.GroupMagnitudeImportance(p=2),
                pruning_ratio=ratio,
                pruning_ratio_dict={layers[name]: share for name, share in (ratios or {}).items()},
                ignored_layers=[layers[task.output]] if task.output else last_of(layers),
            ).step()
        with torch.no_grad():
            model(few)
    except Exception as exc:
        why = (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]
        raise Inapplicable(f"torch-pruning cannot take channels away from the network: {why}") from exc
    return model


def last_of(layers: Mapping[str, nn.Module]) -> list[nn.Module]:
    """The last layer, which most likely makes the logits, where it is not known which one does."""
    return list(layers.values())[-1:]


def resized(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """``model`` with tensors of the shapes in ``state``, in place; those that change are of whatever numbers."""
    for path, part in model.named_modules():
        for name, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
            wanted = state[f"{path}.{name}" if path else name]
            if wanted.shape != tensor.shape:
                empty = tensor.detach().new_zeros(wanted.shape)
                setattr(part, name, nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty)
        fit(part)
    return model


def fit(part: nn.Module) -> None:
    """Let a layer's settings say what its tensors are."""
    if isinstance(part, nn.Linear):
        part.out_features, part.in_features = part.weight.shape
    elif isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
        part.num_features = len(part.running_mean)
    elif isinstance(part, nn.modules.conv._ConvNd) and not part.transposed:
        out, fan_in = part.weight.shape[:2]
        if part.groups == part.in_channels > 1:  # depthwise: as many groups as channels
            part.groups = out // (part.out_channels // part.in_channels)
        part.out_channels, part.in_channels = out, fan_in * part.groups


def fresh(model: nn.Module) -> nn.Module:
    """``model`` with new initial weights, in place."""
    for part in model.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    return model
