"""All output rows refitted at once on frozen units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor

from tunebench import LogitEdit, TuningTask
from tunebench_refit.family import OutputRefit, UnitRefit, of_targets
from tunebench_refit.softmax import Ridge, minimise
from tunebench_refit.units import Units

FADING = FloatDistribution(0.1, 5.0, log=True)
"""How fast samples fade that the original is sure of."""


class RefitAll(UnitRefit):
    """Refits every output row on all hidden units, convex: a class-weighted cross entropy, near the original."""

    name = "refit-all"

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Units) -> LogitEdit:
        """What the refitted rows add to the logits."""
        return refitted(
            task, prepared, torch.where(of_targets(task.y_train, task), params["lambda"], 1.0), params["l2"]
        )


class AutomaticFeatureReweighting(OutputRefit):
    """Refits the output layer, near the original, mostly on samples that the original is unsure of (AFR)."""

    name = "afr"

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """How fast sure samples fade, weight of the targets, and the ridge."""
        return {"gamma": FADING, **super().search_space()}

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Units) -> LogitEdit:
        """What the refitted rows add to the logits."""
        return refitted(task, prepared, unsure(task, params["lambda"], params["gamma"]), params["l2"])


def unsure(task: TuningTask, weight: float, gamma: float) -> Tensor:
    """``beta_y exp(-gamma p_true)``, (N,); beta is one over the size of the class, times ``weight`` for a target."""
    true = task.logits_train.double().softmax(1).gather(1, task.y_train[:, None])[:, 0]
    beta = torch.where(of_targets(task.y_train, task), weight, 1.0) / torch.bincount(task.y_train)[task.y_train]
    return beta * torch.exp(-gamma * true)


def refitted(task: TuningTask, units: Units, weight: Tensor, l2: float) -> LogitEdit:
    """All rows at the least loss; of ``weight`` (N,) only the ratios matter."""
    weight = (weight / weight.sum()).to(units.design)
    loss = Ridge(units.design, task.logits_train, task.y_train, weight, l2, task.classes)
    return units.edit(task, range(task.classes), minimise(loss))
