"""Rows of the output layer refitted on frozen hidden units: convex problems (docs/methods.md, section 8)."""

from __future__ import annotations

from tunebench import Tuner, hookimpl
from tunebench_refit.all_rows import AutomaticFeatureReweighting, RefitAll
from tunebench_refit.dfr import DeepFeatureReweighting
from tunebench_refit.target_row import Refit, RefitSparse


@hookimpl
def tunebench_tuners() -> list[Tuner]:
    """The tuners of this family."""
    return [Refit(), RefitAll(), RefitSparse(), AutomaticFeatureReweighting(), DeepFeatureReweighting()]
