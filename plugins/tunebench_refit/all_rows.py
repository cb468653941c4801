"""All output rows refitted at once on frozen units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor

from tunebench import LogitEdit, Tuner, TuningTask
from tunebench_refit.softmax import Ridge, minimise
from tunebench_refit.units import Units, all_units

WEIGHT = FloatDistribution(1.0, 20.0, log=True)
"""Of a target sample, where any other has 1."""
RIDGE = FloatDistribution(1e-5, 1e-1, log=True)
"""Of weights of standardised units, beside a mean loss."""


class RefitAll(Tuner):
    """Refits every output row on all hidden units, convex: a class-weighted cross entropy, near the original."""

    name = "refit-all"

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Weight of the targets, and the ridge on the distance from the original."""
        return {"lambda": WEIGHT, "l2": RIDGE}

    def skip(self, task: TuningTask) -> str | None:
        """Without hidden units there is nothing to refit on."""
        return why_not(task)

    def prepare(self, task: TuningTask) -> Units:
        """The units, standardised."""
        return all_units(task)

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Units) -> LogitEdit:
        """What the refitted rows add to the logits."""
        weight = torch.ones_like(task.y_train, dtype=prepared.design.dtype)
        weight[of_targets(task)] = params["lambda"]
        return refitted(task, prepared, weight, params["l2"])


def refitted(task: TuningTask, units: Units, weight: Tensor, l2: float) -> LogitEdit:
    """All rows refitted on ``units`` by the cross entropy with sample weights (N,), of which only ratios matter."""
    loss = Ridge(units.design, task.logits_train, task.y_train, weight / weight.sum(), l2, task.classes)
    return units.edit(task, list(range(task.classes)), minimise(loss))


def of_targets(task: TuningTask) -> Tensor:
    """Which training samples are of a target class, (N,) bool."""
    return torch.isin(task.y_train, task.y_train.new_tensor(task.targets))


def why_not(task: TuningTask) -> str | None:
    """Why nothing can be refitted: the network has no hidden units; else None."""
    return None if task.hidden_train.shape[1] else "the network has no hidden units"
