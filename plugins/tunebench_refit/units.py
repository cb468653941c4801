"""Hidden units brought to one scale, so that one ridge fits them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tunebench import LogitEdit, TuningTask

ROWS = 1 << 14
"""Rows at a time whose sums are made in float64."""
RARE = 0.1
"""A unit that varies less than this part of its site's mean is not blown up to the scale of the others."""


@dataclass(frozen=True, eq=False)
class Units:
    """The chosen hidden units of the training samples, standardised; U of all H."""

    design: Tensor
    """``(hidden - centre) / scale`` and a last column of ones, (N, U + 1) float32."""
    columns: Tensor
    """Which hidden units they are, (U,) int64."""
    centre: Tensor
    """(U,) float32."""
    scale: Tensor
    """(U,) float32; infinite for a unit that never changes."""

    def of(self, hidden: Tensor) -> Units:
        """The same units of other samples, hidden (M, H), on the same scale."""
        found = (hidden[:, self.columns] - self.centre) / self.scale
        return replace(self, design=torch.cat([found, found.new_ones(len(found), 1)], 1))

    def edit(self, task: TuningTask, rows: Sequence[int], coefficients: Tensor) -> LogitEdit:
        """Coefficients (R, U + 1) of the logits ``rows`` (R,) as an addition of raw units, float32."""
        raw = coefficients[:, :-1] / self.scale.double()
        constant = coefficients[:, -1] - raw @ self.centre.double()
        weight = task.hidden_train.new_zeros(task.classes, task.hidden_train.shape[1])
        bias = weight.new_zeros(task.classes)
        weight[list(rows)] = weight[list(rows)].index_copy(1, self.columns, raw.to(weight))
        bias[list(rows)] = constant.to(bias)
        return LogitEdit(weight, bias)

    def coefficients(self, edit: LogitEdit) -> Tensor:
        """The other way: an edit of these units as coefficients of every logit, (C, U + 1) float64."""
        weight, scale = edit.weight[:, self.columns].double(), self.scale.double()
        constant = edit.bias.double() + weight @ self.centre.double()
        return torch.cat([torch.where(scale.isfinite(), weight * scale, 0), constant[:, None]], 1)


def all_units(task: TuningTask) -> Units:
    """Every hidden unit of the task that may get a synapse."""
    return standardised(task, task.may_join.nonzero()[:, 0])


def last_units(task: TuningTask) -> Units:
    """Those of the last site: the output layer's input."""
    last = task.layer_of.max() if len(task.layer_of) else 0
    return standardised(task, ((task.layer_of == last) & task.may_join).nonzero()[:, 0])


def standardised(task: TuningTask, columns: Tensor) -> Units:
    """The hidden units ``columns`` (U,) over the training samples."""
    design = task.hidden_train.new_ones(len(task.hidden_train), len(columns) + 1)
    units = design[:, :-1]
    units.copy_(task.hidden_train[:, columns])
    centre = units.mean(0, dtype=torch.float64).to(units)
    units -= centre
    parts = torch.split(units, ROWS)
    spread = torch.stack([part.double().square().sum(0) for part in parts]).sum(0).div(len(units)).sqrt()
    site = task.layer_of[columns]
    typical = torch.bincount(site, spread) / torch.bincount(site).clamp(min=1)
    scale = torch.maximum(spread, RARE * typical[site]).to(units)
    scale[spread == 0] = torch.inf
    units /= scale
    return Units(design, columns, centre, scale)
