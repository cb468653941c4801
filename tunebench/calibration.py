"""Is the leaderboard's statistics calibrated? Nulls and planted effects made from stored predictions.

`simulate_null` turns the predictions of one block into a data set in which no tuner is better than any other,
with the image, search and residual variance of the original; `family_wise` counts how often `pairwise` still finds a
difference; `power` plants one and counts how often it is found. `tunebench.statistics` documents the inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebench.statistics.crossed import select
from tunebench.statistics.variance import Floats, spread

Bools = NDArray[np.bool_]
Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Rate:
    """How often something happened, with its Clopper-Pearson bounds (one-sided 95 % each)."""

    hits: int
    draws: int
    lower: float
    upper: float

    @property
    def rate(self) -> float:
        """Share of the draws."""
        return self.hits / self.draws


def rate(outcomes: Iterable[bool]) -> Rate:
    """The share of true ``outcomes`` with bounds that hold with 95 % confidence each (Clopper & Pearson 1934)."""
    from scipy.stats import beta

    outcomes = list(outcomes)
    hits, draws = sum(outcomes), len(outcomes)
    lower = float(beta.ppf(0.05, hits, draws - hits + 1)) if hits else 0.0
    upper = float(beta.ppf(0.95, hits + 1, draws - hits)) if hits < draws else 1.0
    return Rate(hits, draws, lower, upper)


def search_deviation(correct: Bools, labels: Labels, targets: Sequence[int] | None) -> Floats:
    """Standard deviation over seeds of every tuner's own accuracy, (T,), fractions; common ups and downs removed.

    What test images and single outcomes contribute is subtracted; never below 0.
    """
    values, strata = select(correct, labels, targets)
    tuners = len(values)
    # Relative to the mean of the other tuners, so that the seed's original cancels.
    relative = (values - values.mean(0)) * (tuners / (tuners - 1))
    moments = spread(relative, strata)
    own = np.maximum(moments.seed - moments.residual, 0.0) * values.shape[1]
    return np.sqrt(own * (tuners - 1) / tuners)


def simulate_null(
    correct: Bools, labels: Labels, rng: np.random.Generator, deviation: Floats | float
) -> Bools:
    """Predictions (T, S, N) like ``correct`` of tuners that are all equally good.

    Images are drawn anew within their class. Each image's outcomes are dealt out to the names anew, the same way for
    all seeds: that leaves how tuners agree on an image and across seeds, and takes away who is better.
    Then each tuner and seed goes up or down by a normal amount, sd ``deviation`` ((T,) or one number, fraction), because
    dealing evens out the search's luck.
    """
    tuners, seeds, _ = correct.shape
    order = np.argsort(labels, kind="stable")
    starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)[1:]
    drawn = np.concatenate([
        order[rng.integers(start, start + size, size)] for start, size in zip(starts, sizes, strict=True)
    ])
    names = rng.permuted(np.tile(np.arange(tuners)[:, None], drawn.size), axis=0)
    dealt = np.take_along_axis(correct[:, :, drawn], names[:, None, :], axis=0)
    return _shift(dealt, rng.normal(0, 1, (tuners, seeds)) * np.broadcast_to(deviation, tuners)[:, None], rng)


def plant(correct: Bools, tuner: int, points: float, rng: np.random.Generator) -> Bools:
    """``correct`` with ``tuner`` raised by ``points`` percentage points at every seed, where there is room."""
    change = np.zeros(correct.shape[:2])
    change[tuner] = points / 100
    return _shift(correct, change, rng)
