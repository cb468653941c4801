"""Score, fold and export a `LogitEdit` (docs/methods.md, section 2)."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunebench.errors import InvalidOutput
from tunebench.networks.sites import Anatomy, Reader, Site, Watch, first_float, survey
from tunebench.networks.stacks import linear_stack
from tunebench.tuner import LogitEdit, TuningTask

ROUNDINGS = 64
"""How many roundings of its terms' sizes, added up, a logit may differ by: a forward and its hidden units make many."""


def agree(found: Tensor, expected: Tensor, model: nn.Module, terms: Tensor | None = None) -> bool:
    """Whether two sets of logits (N, C) are equal up to the rounding of ``model``'s own floating point type.

    ``terms`` (N, C) is how large the terms are of which they are sums (`terms_of`): where these are large and cancel,
    what is left is as inexact as they are.
    """
    like = first_float(model)
    eps = torch.finfo(torch.float32 if like is None else like.dtype).eps
    tolerance = max(1e-3, 4 * eps)
    same = torch.isclose(found, expected, rtol=tolerance, atol=tolerance / 10 * float(expected.abs().max()))
    if terms is not None:
        same |= (found - expected).abs() <= ROUNDINGS * eps * terms
    return bool(same.all())


def terms_of(edit: LogitEdit, hidden: Tensor, logits: Tensor) -> Tensor:
    """Sum (N, C) of the magnitudes of what `edited_logits` adds up."""
    weight, bias = edit.weight.abs().to(logits.dtype), edit.bias.abs().to(logits.dtype)
    return logits.abs() + torch.addmm(bias, hidden.abs().to(logits.dtype), weight.t())


def anatomy_of(task: TuningTask) -> Anatomy:
    """The `survey` of the task's original; it looks at no validation sample, so that tuners may ask for it."""
    return survey(task.model, task.x_train.shape[1:], task.max_hidden)


def output_layer_of(task: TuningTask) -> LogitEdit | None:
    """The output layer as an edit that would add the logits once more; None where it cannot be edited."""
    anatomy = anatomy_of(task)
    if anatomy.output is None or not anatomy.last:
        return None
    edit = LogitEdit.of_target(task)
    edit.weight[:, -anatomy.last :] = task.model.get_parameter(anatomy.output.weight).detach().flatten(1)
    if anatomy.output.bias is not None:
        edit.bias[:] = task.model.get_parameter(anatomy.output.bias).detach()
    return edit


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


def fold(model: nn.Module, edit: LogitEdit, anatomy: Anatomy) -> nn.Module:
    """A network with the same logits as ``model``, whose `survey` is ``anatomy``, plus ``edit``.

    What the edit does to the output layer's own weight and bias goes into these, so that the architecture and the keys
    of the state_dict stay as they are. Synapses from earlier sites widen a plain stack of Linear and ReLU
    (`widened`) and wrap any other network.
    """
    early = anatomy.hidden - anatomy.last
    synapses = edit.weight[:, :early]
    if not bool(synapses.ne(0).any()):
        return in_place(model, edit, anatomy)
    layers = linear_stack(model)
    if layers is not None:
        return widened(layers, edit)
    if anatomy.output is None or anatomy.output.bias is None:  # the wrapper takes the bias too
        rest, bias = LogitEdit(edit.weight, torch.zeros_like(edit.bias)), edit.bias
    else:
        rest, bias = edit, torch.zeros_like(edit.bias)
    return EditedModel(in_place(model, rest, anatomy), LogitEdit(synapses, bias), anatomy.sites).eval()


def in_place(model: nn.Module, edit: LogitEdit, anatomy: Anatomy) -> nn.Module:
    """A copy of ``model`` whose output layer has what ``edit`` does to it; a bias that it lacks becomes a wrapper."""
    copied, output = copy.deepcopy(model).eval(), anatomy.output
    with torch.no_grad():
        if output is not None and anatomy.last:
            weight = copied.get_parameter(output.weight)
            weight.add_(edit.weight[:, -anatomy.last :].detach().to(weight).view_as(weight))
        if output is not None and output.bias is not None:
            bias = copied.get_parameter(output.bias)
            bias.add_(edit.bias.detach().to(bias))
            return copied
    return ShiftedModel(copied, edit.bias).eval() if bool(edit.bias.ne(0).any()) else copied


def widened(layers: Sequence[nn.Linear], edit: LogitEdit) -> nn.Sequential:
    """A plain stack of Linear and ReLU with ``edit`` inside: a unit of an early layer is carried through later ones.

    It takes a pass-through unit of weight 1, which is exact because activations are >= 0 after a ReLU.
    """
    parts: list[nn.Module] = [nn.Flatten()]
    carried = edit.weight.new_zeros(0, dtype=torch.int64)  # hidden units, by column of the edit, passed through
    below = carried  # units of the previous layer that have to be carried from here on
    start = 0
    for layer in layers[:-1]:
        picks = torch.cat(
            [below - (start - layer.in_features), layer.in_features + torch.arange(len(carried), device=carried.device)]
        )
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
    """Any model plus a `LogitEdit` from its hidden units: one small matrix product more per forward.

    The edit's columns are the units of the first of ``sites``; sites without a non-zero weight are not read. It passes
    `torch.export`.
    """

    def __init__(self, model: nn.Module, edit: LogitEdit, sites: Sequence[Site]) -> None:
        super().__init__()
        self.base = model
        ends = list(itertools.accumulate(site.units for site in sites))
        parts = [(site, edit.weight[:, end - site.units : end]) for site, end in zip(sites, ends, strict=True)]
        used = [(site, part) for site, part in parts if bool(part.ne(0).any())]
        self.sites = tuple(site for site, _ in used)
        like = first_float(model)
        weight = torch.cat([part for _, part in used], dim=1).detach().clone()
        self.weight = nn.Parameter(weight if like is None else weight.to(like))
        self.bias = nn.Parameter(edit.bias.detach().clone().to(self.weight))

    def forward(self, x: Tensor) -> Any:
        """Logits (N, C) for x (N, *shape)."""
        units: dict[int, Tensor] = {}
        with Watch(Reader(self.sites, units.__setitem__)):
            logits = self.base(x)
        return logits + F.linear(torch.cat(list(units.values()), dim=1), self.weight, self.bias)


class ShiftedModel(nn.Module):
    """Any model plus a constant (C,) on its logits."""

    def __init__(self, model: nn.Module, shift: Tensor) -> None:
        super().__init__()
        self.base = model
        self.shift = nn.Parameter(shift.detach().clone())

    def forward(self, x: Tensor) -> Any:
        """Logits (N, C) for x (N, *shape)."""
        return self.base(x) + self.shift
