"""Fine-tuning of the whole network with one loss or another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from torch import nn

from tunebench import Tuner, TuningTask
from tunebench.training import Loss, fine_tune, minibatches
from tunebench_finetune.schedule import EITHER, Schedule


class FineTuning(Tuner):
    """Training goes on for every parameter; members differ in ``loss(task, params)`` and in their `Schedule`."""

    def __init__(
        self,
        name: str,
        loss: Callable[[TuningTask, Mapping[str, Any]], Loss],
        space: Mapping[str, BaseDistribution],
        summary: str = "",
        schedule: Schedule = EITHER,
    ) -> None:
        self.name = name
        self.summary = summary
        self.loss = loss
        self.space = space
        self.schedule = schedule

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """The loss's own hyperparameters, ``weight_decay`` among them where it is searched, then the schedule's."""
        return {**self.space, **self.schedule.space()}

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Any) -> nn.Module:
        """A fine-tuned copy; the order of the batches depends on ``task.seed`` alone."""
        model = copy.deepcopy(task.model)
        optimiser = self.schedule.optimiser(task, params, params.get("weight_decay", 0.0))
        batches = minibatches(task.x_train, task.y_train, optimiser.steps, task.seed)
        fine_tune(model, batches, self.loss(task, params), optimiser, task.seed)
        return model
