"""Pruning baselines of Xu & Wang 2026 (docs/methods.md, section 3): CW-P, CS-P and CS-P with fine-tuning."""

from __future__ import annotations

from tunebench import Tuner, hookimpl
from tunebench_pruning.tuners import (
    ClassSensitivePruning,
    ClassWeightedPruning,
    FineTunedClassSensitivePruning,
)


@hookimpl
def tunebench_tuners() -> list[Tuner]:
    """The tuners of this family; the neuron-level form of CS-P is an option of its class."""
    return [ClassWeightedPruning(), ClassSensitivePruning(), FineTunedClassSensitivePruning()]
