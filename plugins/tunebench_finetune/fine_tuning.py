"""Fine-tuning of the whole network with one loss or another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from torch import nn

from tunebench import Tuner, TuningTask
from tunebench.training import Loss, fine_tune, limited, minibatches

SCHEDULE: dict[str, BaseDistribution] = {
    "lr_multiplier": FloatDistribution(0.03, 3.0, log=True),
    "steps": IntDistribution(50, 2000, log=True),
}
"""Multiple of the original's step size, and optimiser steps of batch 64."""


class FineTuning(Tuner):
    """A few more steps of plain SGD on every parameter; members differ in ``loss(task, params)`` alone."""

    def __init__(
        self,
        name: str,
        loss: Callable[[TuningTask, Mapping[str, Any]], Loss],
        space: Mapping[str, BaseDistribution],
        summary: str = "",
    ) -> None:
        self.name = name
        self.summary = summary
        self.loss = loss
        self.space = space

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """The loss's own hyperparameters, then step size and number of steps."""
        return {**self.space, **SCHEDULE}

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Any) -> nn.Module:
        """A fine-tuned copy; the order of the batches depends on ``task.seed`` alone."""
        model = copy.deepcopy(task.model)
        batches = minibatches(task.x_train, task.y_train, limited(params["steps"], len(task.y_train)), task.seed)
        lr = params["lr_multiplier"] * task.learning_rate
        fine_tune(model, batches, self.loss(task, params), lr, task.seed)
        return model
