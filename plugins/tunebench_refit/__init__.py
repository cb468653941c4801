"""Rows of the output layer refitted on frozen hidden units: convex problems (docs/methods.md, section 8)."""

from __future__ import annotations

from tunebench import Tuner, hookimpl
from tunebench_refit.all_rows import RefitAll


@hookimpl
def tunebench_tuners() -> list[Tuner]:
    """The tuners of this family."""
    return [RefitAll()]
