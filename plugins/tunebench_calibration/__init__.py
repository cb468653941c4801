"""Output calibration: a constant on the target's logit and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunebench import LogitEdit, Tuner, TuningTask, hookimpl


class LogitBias(Tuner):
    """Calibrated stacking (Chao et al. 2016): add ``b >= 0`` to the target's logit, an existing bias.

    No hyperparameters: the edit is `scalable`, so the host solves the best ``b`` exactly by sorting the
    validation margins. It is synaptic join with a constant neuron: what the choice of neurons must beat.
    """

    name = "logit-bias"
    scalable = True

    def skip(self, task: TuningTask) -> str | None:
        """One bias cannot trade several targets off against each other."""
        return "shifts the logit of a single target class" if len(task.targets) > 1 else None

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Any) -> LogitEdit:
        """One logit more for the target; every multiple of it is a candidate."""
        return LogitEdit.of_target(task, bias=1.0)

    def rays(self, task: TuningTask, prepared: Any) -> list[tuple[dict[str, Any], LogitEdit]]:
        """Every candidate up to scale, with its parameters: here the single one."""
        return [({}, self.tune(task, {}, prepared))]


@hookimpl
def tunebench_tuners() -> list[Tuner]:
    """The one tuner of this family."""
    return [LogitBias()]
