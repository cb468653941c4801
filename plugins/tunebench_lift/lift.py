"""One long training on data that the original has not seen; trials choose how much of its path is averaged."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from optuna.distributions import BaseDistribution, IntDistribution
from torch import Tensor, nn

from tunebench import Tuner, TuningTask
from tunebench.training import CrossEntropy, Optimiser, average, fine_tune, limited, minibatches
from tunebench_lift.augmentation import warped

TRAININGS = 8
"""As many as `soup` makes, each of all steps that a trial may take: with the defaults 16,000 steps in a cell."""
STEP, WEIGHT_DECAY = 1e-3, 0.03
"""AdamW's: its authors' default as the largest step; what the decay is matters little beside it."""


class Lift(Tuner):
    """Eight AdamW trainings on warped images, each going on where the last ended; the mean of the last n of them.

    A converged network has its training samples right and learns little more from them, but from images that are a
    little different each time it learns the more the longer. So all effort goes into `prepare`: eight trainings in a
    row, each of at most ``max_steps`` with a one-cycle schedule. Trials do not train, so a cell costs eight full
    trainings, however many trials it has. No target is weighted: how far to prefer it is left to the host's bias.
    """

    name = "lift"
    honours = frozenset({"max_steps"})

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """How many networks, from the last one back, are averaged."""
        return {"n": IntDistribution(1, TRAININGS)}

    def prepare(self, task: TuningTask) -> list[nn.Module]:
        """The network after every training, the last first; batches and warps depend on ``task.seed`` alone."""
        stages = [task.model]
        for number in range(TRAININGS):
            stages.append(self.trained(stages[-1], task, task.seed + number))
        return stages[:0:-1]

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Sequence[nn.Module]) -> nn.Module:
        """The mean of the last ``n`` networks."""
        return average(prepared[: params["n"]], task)

    def trained(self, start: nn.Module, task: TuningTask, seed: int) -> nn.Module:
        """A copy of ``start`` after one more training."""
        model, steps = copy.deepcopy(start), max(1, limited(task.max_steps, task))
        optimiser = Optimiser(STEP, "adamw", "one-cycle", steps=steps, weight_decay=WEIGHT_DECAY)
        fine_tune(model, self.batches(task, steps, seed), CrossEntropy(), optimiser, seed)
        return model

    def batches(self, task: TuningTask, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """``steps`` batches of inputs, warped where they are images, and their labels."""
        dice = torch.Generator().manual_seed(seed)
        for x, y in minibatches(task.x_train, task.y_train, steps, seed):
            yield warped(x, dice), y
