"""A run and its baseline for the tests of the gate."""

from __future__ import annotations

import shutil

from tunebench.results.store import Store

TUNER = "logit-bias"


def two_copies(run, folder):
    """Two equal copies of a run in ``folder``, both free to be changed: now and base."""
    shutil.copytree(run, folder / "now")
    shutil.copytree(run, folder / "base")
    return folder / "now", folder / "base"


def cells(out, tuner=TUNER):
    """The cells of one tuner."""
    return [cell for cell, _ in Store(out).cells() if cell.tuner == tuner]
