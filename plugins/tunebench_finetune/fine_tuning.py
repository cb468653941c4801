"""Fine-tuning of the whole network with one loss or another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from torch import Tensor, nn

from tunebench import Tuner, TuningTask
from tunebench.training import Loss, fine_tune, minibatches
from tunebench_finetune.schedule import EITHER, Schedule


class FineTuning(Tuner):
    """Training goes on for every parameter; members differ in ``loss(task, params)`` and in their `Schedule`."""

    honours = frozenset({"max_steps"})

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
        """A fine-tuned copy."""
        model = copy.deepcopy(task.model)
        self.train(model, task, params, prepared)
        return model

    def train(self, model: nn.Module, task: TuningTask, params: Mapping[str, Any], prepared: Any) -> None:
        """Train ``model`` in place on the task's samples."""
        optimiser = self.schedule.optimiser(task, params, params.get("weight_decay", 0.0))
        batches = self.batches(task, params, prepared, optimiser.steps)
        fine_tune(model, batches, self.loss(task, params), optimiser, task.seed)

    def batches(
        self, task: TuningTask, params: Mapping[str, Any], prepared: Any, steps: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """``steps`` batches of inputs and labels; their order depends on ``task.seed`` alone."""
        return minibatches(task.x_train, task.y_train, steps, task.seed)


def chosen_batches(task: TuningTask, rows: Tensor, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of the training samples ``rows``, in epochs over these, repeats included; no input is copied before."""
    for part, labels in minibatches(rows, task.y_train[rows], steps, seed):
        yield task.x_train.index_select(0, part), labels
