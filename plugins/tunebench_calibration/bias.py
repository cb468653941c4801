"""One constant on the targets' logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunebench import LogitEdit, Tuner, TuningTask

HONOURED = frozenset({"max_steps", "synapse_layers", "max_new_params", "max_weight", "protect"})
"""All limits, by tuners that add no synapse and leave the size of what they add to the host."""


class LogitBias(Tuner):
    """Calibrated stacking (Chao et al. 2016): add ``b >= 0`` to the target's logit, an existing bias.

    No hyperparameters: the edit is `scalable`, so the host solves the best ``b`` exactly by sorting the
    validation margins. It is synaptic join with a constant neuron: what the choice of neurons must beat. Several
    targets share one bias.
    """

    name = "logit-bias"
    scalable = True
    honours = HONOURED

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Any) -> LogitEdit:
        """One logit more for the target; every multiple of it is a candidate."""
        return LogitEdit.of_target(task, bias=1.0)

    def rays(self, task: TuningTask, prepared: Any) -> list[tuple[dict[str, Any], LogitEdit]]:
        """Every candidate up to scale, with its parameters: here the single one."""
        return [({}, self.tune(task, {}, prepared))]
