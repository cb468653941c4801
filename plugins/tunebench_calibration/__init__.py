"""Output calibration: constants and factors on the logits, and nothing else."""

from __future__ import annotations

from tunebench import Tuner, hookimpl
from tunebench_calibration.bias import LogitBias
from tunebench_calibration.scale import TargetScale, TauNorm
from tunebench_calibration.vector import LogitVector, MaxMinRecall


@hookimpl
def tunebench_tuners() -> list[Tuner]:
    """The tuners of this family."""
    return [LogitBias(), LogitVector(), MaxMinRecall(), TargetScale(), TauNorm()]
