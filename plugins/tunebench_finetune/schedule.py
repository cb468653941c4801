"""How a trial trains: optimiser, step size and number of steps, one choice that all fine-tuners share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from tunebench import TuningTask
from tunebench.training import Optimiser, limited

Name = Literal["sgd", "adamw"]
ADAMW_STEP = 1e-3
"""Reference step of AdamW, its authors' default; plain SGD has the step that the original was trained with."""


@dataclass(frozen=True)
class Schedule:
    """The search space of how to train, and what a point of it means.

    ``sgd`` is plain SGD at a constant step, as the fine-tuning papers have it; ``adamw`` is AdamW with a one-cycle
    schedule over the steps of the trial, as one would train today.
    """

    optimisers: tuple[Name, ...] = ("sgd", "adamw")
    """What ``optimiser`` chooses from; no hyperparameter where there is one alone."""
    multiples: tuple[float, float] = (0.03, 3.0)
    """Range of ``lr_multiplier``, the step as a multiple of the optimiser's reference step."""

    def space(self) -> dict[str, BaseDistribution]:
        """``lr_multiplier``, ``effort`` (share of the steps that a trial may take) and ``optimiser``."""
        space: dict[str, BaseDistribution] = {
            "lr_multiplier": FloatDistribution(*self.multiples, log=True),
            "effort": FloatDistribution(0.25, 1.0, log=True),
        }
        if len(self.optimisers) > 1:
            space["optimiser"] = CategoricalDistribution(self.optimisers)
        return space

    def optimiser(self, task: TuningTask, params: Mapping[str, Any], weight_decay: float = 0.0) -> Optimiser:
        """The optimiser of a trial; its ``steps`` are those to take."""
        name: Name = params.get("optimiser", self.optimisers[0])
        steps = max(1, round(params["effort"] * limited(task.max_steps, task)))
        if name == "sgd":
            return Optimiser(params["lr_multiplier"] * task.learning_rate, steps=steps, weight_decay=weight_decay)
        lr = params["lr_multiplier"] * ADAMW_STEP
        return Optimiser(lr, name, "one-cycle", steps=steps, weight_decay=weight_decay)


EITHER = Schedule()
"""What fine-tuners choose from by default."""
