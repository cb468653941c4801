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
STILL = 1e-3
"""A unit that varies less than this part of its mean is left out: float32 has too few digits for what it tells."""


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
    """(U,) float32, above 0."""

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
        weight = edit.weight[:, self.columns].double()
        constant = edit.bias.double() + weight @ self.centre.double()
        return torch.cat([weight * self.scale.double(), constant[:, None]], 1)


def standardised(task: TuningTask, columns: Tensor) -> Units:
    """The hidden units ``columns`` (U,) over the training samples, without those that are as good as constant."""
    hidden = task.hidden_train
    centre = hidden.mean(0, dtype=torch.float64)[columns]
    parts = torch.split(hidden, ROWS)
    spread = torch.stack([(part[:, columns].double() - centre).square().sum(0) for part in parts])
    spread = spread.sum(0).div(len(hidden)).sqrt()
    lively = spread > STILL * centre.abs()
    columns, centre, spread = columns[lively], centre[lively], spread[lively]
    site = task.layer_of[columns]
    typical = torch.bincount(site, spread) / torch.bincount(site).clamp(min=1)
    scale = torch.maximum(spread, RARE * typical[site]).to(hidden)
    design = hidden.new_ones(len(hidden), len(columns) + 1)
    torch.sub(hidden[:, columns], centre.to(hidden), out=design[:, :-1]).div_(scale)
    return Units(design, columns, centre.to(hidden), scale)
