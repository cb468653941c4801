"""All output rows refitted at once on frozen units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor

from tunebench import LogitEdit, Tuner, TuningTask
from tunebench_refit.softmax import Ridge, minimise
from tunebench_refit.units import Units, all_units, last_units

WEIGHT = FloatDistribution(1.0, 20.0, log=True)
"""Of a target sample, where any other has 1."""
RIDGE = FloatDistribution(1e-5, 1e-1, log=True)
"""Of weights of standardised units, beside a mean loss."""


class RefitAll(Tuner):
    """Refits every output row on all hidden units, convex: a class-weighted cross entropy, near the original."""

    name = "refit-all"
    honours = frozenset({"synapse_layers"})

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
        weight = self.weights(task, params)
        weight = (weight / weight.sum()).to(prepared.design)
        loss = Ridge(prepared.design, task.logits_train, task.y_train, weight, params["l2"], task.classes)
        return prepared.edit(task, range(task.classes), minimise(loss))

    def weights(self, task: TuningTask, params: Mapping[str, Any]) -> Tensor:
        """Of the training samples, (N,); only their ratios matter."""
        return torch.where(of_targets(task.y_train, task), params["lambda"], 1.0)


class AutomaticFeatureReweighting(RefitAll):
    """Refits the output layer, near the original, mostly on samples that the original is unsure of (AFR)."""

    name = "afr"

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """How fast sure samples fade, weight of the targets, and the ridge."""
        return {"gamma": FloatDistribution(0.0, 20.0), **super().search_space()}

    def prepare(self, task: TuningTask) -> Units:
        """The output layer's input, standardised."""
        return last_units(task)

    def weights(self, task: TuningTask, params: Mapping[str, Any]) -> Tensor:
        """``beta_y exp(-gamma p_true)``, beta one over the size of the class, lambda times as much for a target."""
        true = task.logits_train.double().softmax(1).gather(1, task.y_train[:, None])[:, 0]
        beta = super().weights(task, params) / torch.bincount(task.y_train)[task.y_train]
        return beta * torch.exp(-params["gamma"] * true)


def of_targets(labels: Tensor, task: TuningTask) -> Tensor:
    """Which of the samples with ``labels`` (N,) are of a target class, (N,) bool."""
    return torch.isin(labels, labels.new_tensor(task.targets))


def why_not(task: TuningTask) -> str | None:
    """Why nothing can be refitted: there are no hidden units, or none that may get a synapse; else None."""
    if not task.hidden_train.shape[1]:
        return "the network has no hidden units"
    return None if bool(task.may_join.any()) else "no hidden layer may get a synapse"
