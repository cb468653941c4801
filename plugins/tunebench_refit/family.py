"""What the refits share: which units they read, whom the user lets them join, and the ranges of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor

from tunebench import Tuner, TuningTask
from tunebench_refit.units import standardised

WEIGHT = FloatDistribution(1.0, 20.0, log=True)
"""Of a target sample, where any other has 1."""
RIDGE = FloatDistribution(1e-5, 1e-1, log=True)
"""Of weights of standardised units, beside a mean loss."""


class UnitRefit(Tuner):
    """Refits on every hidden unit that may get a synapse.

    No `max_steps` in ``honours``: a convex problem is solved to its optimum, by no training steps.
    """

    honours = frozenset({"synapse_layers"})

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Weight of the targets, and the ridge on the distance from the original."""
        return {"lambda": WEIGHT, "l2": RIDGE}

    def columns(self, task: TuningTask) -> Tensor:
        """Which hidden units are read, (U,) int64."""
        return task.may_join.nonzero()[:, 0]

    def skip(self, task: TuningTask) -> str | None:
        """Without hidden units there is nothing to refit on."""
        if not len(task.layer_of):
            return "the network has no hidden units"
        return None if len(self.columns(task)) else "no hidden layer that it reads may get a synapse"

    def prepare(self, task: TuningTask) -> Any:
        """The `Units`, standardised."""
        return standardised(task, self.columns(task))


class OutputRefit(UnitRefit):
    """Refits on the output layer's input alone."""

    def columns(self, task: TuningTask) -> Tensor:
        """The units of the last hidden layer, none where they may not get a synapse."""
        return (task.may_join & (task.layer_of == task.layer_of.max())).nonzero()[:, 0]


def of_targets(labels: Tensor, task: TuningTask) -> Tensor:
    """Which of the samples with ``labels`` (N,) are of a target class, (N,) bool."""
    return torch.isin(labels, labels.new_tensor(task.targets))
