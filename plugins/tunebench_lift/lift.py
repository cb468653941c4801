"""Competent training, a preference for the target, and data that the original has not seen."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from torch import Tensor, nn

from tunebench import Tuner, TuningTask
from tunebench.training import CrossEntropy, Optimiser, fine_tune, limited, minibatches
from tunebench_lift.augmentation import augmented

WEIGHT_DECAY = 0.03
"""AdamW's; what it is matters little beside the step."""


class Lift(Tuner):
    """Fine-tunes by AdamW with one-cycle on augmented samples, targets weighted; always all steps that it may take.

    A converged network has its training samples right and learns nothing from them; small changes of the images make
    samples that it has not seen. Which changes keep the labels true is searched with step and weight. Without images
    it is a weighted fine-tuning of today.
    """

    name = "lift"
    honours = frozenset({"max_steps"})

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Which changes of images, weight of the targets, largest step size."""
        return {
            "warp": CategoricalDistribution(("no", "yes")),
            "mirror": CategoricalDistribution(("no", "yes")),
            "lambda": FloatDistribution(1.0, 5.0, log=True),
            "lr": FloatDistribution(5e-4, 4e-3, log=True),
        }

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Any) -> nn.Module:
        """A fine-tuned copy; batches and augmentation depend on ``task.seed`` alone."""
        model = copy.deepcopy(task.model)
        weight = task.logits_train.new_ones(task.classes)
        weight[list(task.targets)] = params["lambda"]
        steps = max(1, limited(task.max_steps, task))
        optimiser = Optimiser(params["lr"], "adamw", "one-cycle", steps=steps, weight_decay=WEIGHT_DECAY)
        fine_tune(model, batches(task, params, steps), CrossEntropy(weight), optimiser, task.seed)
        return model


def batches(task: TuningTask, params: Mapping[str, Any], steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """``steps`` batches of augmented inputs and their labels."""
    dice = torch.Generator().manual_seed(task.seed)
    warp, mirror = params["warp"] == "yes", params["mirror"] == "yes"
    for x, y in minibatches(task.x_train, task.y_train, steps, task.seed):
        yield augmented(x, warp, mirror, dice), y
