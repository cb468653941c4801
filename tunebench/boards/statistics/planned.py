"""Planned contrasts: every tuner against a few controls that were named before any result was seen.

All pairs of T tuners are T (T - 1) / 2 hypotheses, and Holm's first step asks each for 0.05 / (T (T - 1) / 2): with
30 tuners nothing short of a landslide is found. A reader's questions are fewer: is a tuner better than doing nothing,
and better than the cheapest rival? These are about 2 T hypotheses, one family under Holm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebench.boards.statistics.classical import holm
from tunebench.boards.statistics.crossed import Correct, Labels, bounds, differences, two_sided
from tunebench.boards.statistics.pairs import Differences
from tunebench.boards.statistics.variance import Floats, fit_prior, reference

BORROWED = 5
"""Most degrees of freedom that a contrast borrows, for each of its own: 20 at five seeds.

With so few tests `borrowable` does not bind at five seeds and thirty tuners, and equal tuners of Fashion-MNIST were
called different in 7.8 % of simulated leaderboards; see leaderboards/aa/planned.py.
"""


@dataclass(frozen=True, eq=False)
class Planned:
    """Tuner minus control in K contrasts; arrays are (K,), differences are fractions."""

    tuner: NDArray[np.integer[Any]]
    """Index of the tuner."""
    control: NDArray[np.integer[Any]]
    """Index of its control."""
    difference: Floats
    low: Floats
    """95 % interval of this one difference, not adjusted for the number of contrasts."""
    high: Floats
    p_holm: Floats
    """Two-sided, adjusted over all contrasts of all controls."""


def planned(correct: Correct, labels: Labels, targets: Sequence[int] | None, controls: Sequence[int]) -> Planned | None:
    """Every tuner's difference in TA (or OA, ``targets=None``) to each of ``controls``; None for a single seed."""
    found = differences(correct, labels, targets)
    return None if found is None else contrasts_among(found, range(found.tuners), controls)


def contrasts_among(found: Differences, tuners: Sequence[int], controls: Sequence[int]) -> Planned:
    """``tuners``, the controls among them, against each of ``controls``: one family.

    A control is held against the controls before it and no other. Seed variance is borrowed among the contrasts of one
    control alone: those with an untuned network vary less than those with a tuned one (see `variance`).
    """
    rivals = [[t for t in tuners if t not in controls[: place + 1]] for place in range(len(controls))]
    tests = sum(map(len, rivals))
    parts = []
    for control, mine in zip(controls, rivals, strict=True):
        pairs = (np.array(mine, np.int64), np.full(len(mine), control))
        moments = found.between(*pairs)
        prior = fit_prior(moments, len(tuners), tests)
        error, df = reference(moments, replace(prior, df=min(prior.df, BORROWED * (moments.seeds - 1))))
        low, high = bounds(moments.mean, error, df)
        parts.append((*pairs, moments.mean, low, high, two_sided(moments.mean, error, df, found.images)))
    tuner, control_of, difference, low, high, p = map(np.concatenate, zip(*parts, strict=True))
    return Planned(tuner, control_of, difference, low, high, holm(p))
