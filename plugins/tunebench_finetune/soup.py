"""A model soup: the average of several fine-tuned networks (Wortsman et al. 2022)."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from optuna.distributions import BaseDistribution, IntDistribution
from torch import Tensor, nn

from tunebench import Tuner, TuningTask
from tunebench.training import average, fine_tune
from tunebench_finetune.fine_tuning import chosen_batches
from tunebench_finetune.losses import class_weighted
from tunebench_finetune.schedule import Schedule

INGREDIENTS = 8
"""Trainings of all steps: about what 15 trials of another fine-tuner take together."""
RANGES = {"lr_multiplier": (0.03, 3.0), "lambda": (1.0, 20.0)}
"""What an ingredient's step size and weight of the targets are drawn from, as `weighted-finetune` searches them."""
HELD_OUT = 10
"""One of so many training samples judges the ingredients."""
ROWS = 1000
"""Samples of a forward pass that scores."""


class Soup(Tuner):
    """Average of networks that AdamW fine-tuned with other steps, weights and batches (Wortsman et al. 2022).

    `prepare` trains the ingredients, which all trials share, and mixes greedily as the authors do, judging by a tenth
    of the training samples that no ingredient was fine-tuned on. The original has seen that tenth, and so has what the
    ingredients start from: the judge tells them apart less well than fresh samples would. How many of those that
    went in are best is searched.
    """

    name = "soup"
    honours = frozenset({"max_steps"})
    schedule = Schedule(("adamw",))

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """The most ingredients."""
        return {"n": IntDistribution(1, INGREDIENTS)}

    def prepare(self, task: TuningTask) -> list[nn.Module]:
        """The ingredients of the greedy soup, in the order in which they went in."""
        order = torch.randperm(len(task.y_train), generator=torch.Generator().manual_seed(task.seed)).to(task.device)
        held, seen = order[: len(order) // HELD_OUT], order[len(order) // HELD_OUT :]
        made = [ingredient(task, self.schedule, seen, number) for number in range(INGREDIENTS)]
        losses = [cross_entropy(model, task, held) for model in made]
        soup: list[nn.Module] = []
        best = math.inf
        for number in sorted(range(INGREDIENTS), key=losses.__getitem__):
            mixed = [*soup, made[number]]
            loss = cross_entropy(average(mixed, task), task, held)
            if loss <= best or not soup:
                soup, best = mixed, loss
        return soup

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Sequence[nn.Module]) -> nn.Module:
        """The average of the first ``n``, or of all where fewer went in."""
        return average(prepared[: params["n"]], task)


def ingredient(task: TuningTask, schedule: Schedule, rows: Tensor, number: int) -> nn.Module:
    """A network fine-tuned on the training samples ``rows``, by hyperparameters and batches of its own."""
    dice = random.Random(f"{task.seed} {number}")
    params = {name: math.exp(dice.uniform(math.log(low), math.log(high))) for name, (low, high) in RANGES.items()}
    optimiser, seed = schedule.optimiser(task, {**params, "effort": 1.0}), dice.getrandbits(32)
    model = copy.deepcopy(task.model)
    batches = chosen_batches(task, rows, optimiser.steps, seed)
    fine_tune(model, batches, class_weighted(task, params), optimiser, seed)
    return model


def cross_entropy(model: nn.Module, task: TuningTask, rows: Tensor) -> float:
    """Mean cross entropy over the training samples ``rows``; infinity where it is not a number."""
    total, dtype = 0.0, precision(model)
    with torch.no_grad():
        for part in torch.split(rows, ROWS):
            logits = model(task.x_train[part].to(dtype)).double()
            total += float(F.cross_entropy(logits, task.y_train[part], reduction="sum"))
    return total / len(rows) if math.isfinite(total) and len(rows) else math.inf


def precision(model: nn.Module) -> torch.dtype:
    """The floating point type that a network computes in."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
