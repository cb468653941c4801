"""Score, fold and export a `LogitEdit` (docs/methods.md, section 2)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from tunebench.errors import InvalidOutput
from tunebench.networks.activations import recorded
from tunebench.networks.training import linear_stack
from tunebench.tuner import LogitEdit


def check_edit(edit: LogitEdit, classes: int, hidden: int) -> None:
    """Raise InvalidOutput unless ``edit`` is finite, floating point and of shape (classes, hidden), (classes,)."""
    for name, shape in (("weight", (classes, hidden)), ("bias", (classes,))):
        value = getattr(edit, name)
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise InvalidOutput(f"LogitEdit.{name} is not a floating point tensor")
        if tuple(value.shape) != shape:
            raise InvalidOutput(f"LogitEdit.{name} has shape {tuple(value.shape)}, expected {shape}")
        if not bool(torch.isfinite(value).all()):
            raise InvalidOutput(f"LogitEdit.{name} is not finite")


def edited_logits(edit: LogitEdit, hidden: Tensor, logits: Tensor) -> Tensor:
    """``logits + hidden @ weight.T + bias`` for hidden (N, H), logits (N, C); rows without an edit are not touched."""
    out = logits.clone()
    rows = (edit.weight.ne(0).any(1) | edit.bias.ne(0)).nonzero()[:, 0]
    if len(rows):
        weight, bias = edit.weight[rows].to(logits.dtype), edit.bias[rows].to(logits.dtype)
        out[:, rows] += torch.addmm(bias, hidden.to(logits.dtype), weight.t())
    return out


def fold(model: nn.Module, edit: LogitEdit) -> nn.Module:
    """A network with the same logits as ``model`` plus ``edit``.

    A plain stack of Linear and ReLU stays one: a unit of an early layer is carried through the later ones by a
    pass-through unit of weight 1 (exact, because activations are >= 0 after a ReLU), and the output layer takes the
    edit's weights and bias. Any other model is wrapped in `EditedModel`.
    """
    layers = linear_stack(model)
    if layers is None:
        return EditedModel(model, edit)
    parts: list[nn.Module] = [nn.Flatten()]
    carried = edit.weight.new_zeros(0, dtype=torch.int64)  # hidden units, by column of the edit, passed through
    below = carried  # units of the previous layer that have to be carried from here on
    start = 0
    for layer in layers[:-1]:
        picks = torch.cat([below - (start - layer.in_features), layer.in_features + torch.arange(len(carried))])
        carried = torch.cat([below, carried])
        parts += [passing(layer, picks), nn.ReLU()]
        below = start + edit.weight[:, start : start + layer.out_features].ne(0).any(0).nonzero()[:, 0]
        start += layer.out_features
    output = layers[-1]
    weight = edit.weight.detach().to(output.weight.dtype)
    last = start - output.in_features if len(layers) > 1 else start
    own = output.weight.detach().clone()
    own[:, : weight.shape[1] - last] += weight[:, last:]
    bias = output.bias.detach() + edit.bias.detach().to(output.bias.dtype)
    parts.append(linear(torch.cat([own, weight[:, carried]], dim=1), bias))
    return nn.Sequential(*parts).eval()


def passing(layer: nn.Linear, picks: Tensor) -> nn.Linear:
    """``layer`` widened by one pass-through unit for each input position in ``picks`` (P,).

    Positions from ``layer.in_features`` on are inputs that the layer itself does not read.
    """
    fan_out, fan_in = layer.weight.shape
    extra = int((picks >= fan_in).sum())
    weight = layer.weight.new_zeros(fan_out + len(picks), fan_in + extra)
    weight[:fan_out, :fan_in] = layer.weight.detach()
    weight[fan_out + torch.arange(len(picks)), picks] = 1
    return linear(weight, torch.cat([layer.bias.detach(), layer.bias.new_zeros(len(picks))]))


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A Linear layer with the given weight (out, in) and bias (out,)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")  # draws no random numbers
    layer.weight, layer.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
    return layer


class EditedModel(nn.Module):
    """Any model plus a `LogitEdit` on the outputs of its ReLU modules: one matrix product more per forward."""

    def __init__(self, model: nn.Module, edit: LogitEdit) -> None:
        super().__init__()
        self.base = copy.deepcopy(model)
        dtype = next(model.parameters(), edit.weight).dtype
        # A layer, so that what is stored gets counted.
        self.edit = linear(edit.weight.detach().to(dtype), edit.bias.detach().to(dtype))

    def forward(self, x: Tensor) -> Any:
        """Logits (N, C) for x (N, *shape)."""
        with recorded(self.base) as layers:
            logits = self.base(x)
        return logits + self.edit(torch.cat(layers, dim=1))


class ShiftedModel(nn.Module):
    """Any model plus a constant (C,) on its logits."""

    def __init__(self, model: nn.Module, shift: Tensor) -> None:
        super().__init__()
        self.base = copy.deepcopy(model)
        self.shift = nn.Parameter(shift.clone())

    def forward(self, x: Tensor) -> Any:
        """Logits (N, C) for x (N, *shape)."""
        return self.base(x) + self.shift
