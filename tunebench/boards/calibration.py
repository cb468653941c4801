"""Is the leaderboard's statistics calibrated? Nulls and planted effects made from stored predictions.

`simulate_null` turns the predictions of one block into a data set in which no tuner is better than any other,
with the image, search and residual variance of the original; `family_wise` counts how often `pairwise` still
finds a difference; `power` plants one and counts how often it is found. Both do the same for planned contrasts.
`tunebench.boards.statistics` documents the inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebench.boards.statistics.crossed import pairwise, select
from tunebench.boards.statistics.planned import planned
from tunebench.boards.statistics.variance import Floats, spread

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
    """Share of true ``outcomes`` with bounds of 95 % confidence each (Clopper & Pearson 1934)."""
    from scipy.stats import beta

    outcomes = list(outcomes)
    hits, draws = sum(outcomes), len(outcomes)
    lower = float(beta.ppf(0.05, hits, draws - hits + 1)) if hits else 0.0
    upper = float(beta.ppf(0.95, hits + 1, draws - hits)) if hits < draws else 1.0
    return Rate(hits, draws, lower, upper)


def search_deviation(values: Bools, strata: Labels) -> Floats:
    """Standard deviation over seeds of every tuner's own accuracy, (T,), fractions.

    What goes up and down for all tuners of a seed is removed. ``values`` (T, S, N) and ``strata`` (N,) as
    `select` returns them, here and below. What single outcomes contribute is subtracted; never below 0.
    """
    tuners, seeds, _ = values.shape
    if tuners < 2 or seeds < 2:
        return np.zeros(tuners)
    # Relative to the tuners' mean, so that the seed's original cancels; that takes 1 / T of the variance too.
    moments = spread(values - values.mean(0), strata)
    own: Floats = np.sqrt(np.maximum(moments.seed - moments.residual, 0.0) * seeds * tuners / (tuners - 1))
    return own


def simulate_null(values: Bools, strata: Labels, rng: np.random.Generator, deviation: Floats | float) -> Bools:
    """Predictions like ``values`` of tuners that are all equally good; sorted by class as before.

    Images are drawn anew within their class. Each image's outcomes are dealt out to the names anew, the same
    way for all seeds: that leaves how far tuners and seeds agree on an image, and takes away who is better.
    Then each tuner at each seed goes up or down by a normal amount of sd ``deviation`` ((T,) or one number,
    fraction), because dealing evens out the luck of the search.
    """
    tuners, seeds, _ = values.shape
    starts, sizes = np.unique(strata, return_index=True, return_counts=True)[1:]
    drawn = np.concatenate([rng.integers(a, a + n, n) for a, n in zip(starts, sizes, strict=True)])
    names = rng.permuted(np.tile(np.arange(tuners)[:, None], drawn.size), axis=0)
    dealt = np.take_along_axis(values[:, :, drawn], names[:, None, :], axis=0)
    change = rng.normal(0, 1, (tuners, seeds)) * np.broadcast_to(deviation, tuners)[:, None]
    return _shift(dealt, change, rng)


def plant(values: Bools, tuner: int, points: float, rng: np.random.Generator) -> Bools:
    """``values`` with ``tuner`` raised by ``points`` percentage points at every seed, where there is room."""
    change = np.zeros(values.shape[:2])
    change[tuner] = points / 100
    return _shift(values, change, rng, shared=True)


def family_wise(
    correct: Bools,
    labels: Labels,
    targets: Sequence[int] | None,
    controls: Sequence[int] = (),
    *,
    nulls: int = 2000,
    seed: int = 0,
) -> Rate:
    """How often `pairwise` finds any difference (Holm, 5 %) among tuners of which none is better.

    With ``controls`` how often `planned` finds any in its smaller family.

    ``nulls`` data sets of `simulate_null`, TA or (``targets=None``) OA, each tuner with its own fitted search
    variance: harder than a common one, since few seeds make the fitted ones more unequal than the true ones.
    With 18 tuners and 1,000 images 2,000 nulls take minutes; deterministic by ``seed``.
    """
    rng = np.random.default_rng(seed)
    values, strata = select(correct, labels, targets)
    deviation = search_deviation(values, strata)
    return rate(_leads(simulate_null(values, strata, rng, deviation), strata, controls) for _ in range(nulls))


def power(
    correct: Bools, labels: Labels, targets: Sequence[int], points: float, *, draws: int = 200, seed: int = 0
) -> Rate:
    """How often a tuner planted ``points`` percentage points of TA above equals is told from one of them.

    Found means Holm p <= 5 % with the right sign, in the family of all pairs. Every tuner has the same search
    variance, the mean of the fitted ones.
    """
    rng = np.random.default_rng(seed)
    values, strata = select(correct, labels, targets)
    deviation = float(np.sqrt((search_deviation(values, strata) ** 2).mean()))

    def found() -> bool:
        null = simulate_null(values, strata, rng, deviation)
        pairs = pairwise(plant(null, 0, points, rng), strata, None)
        return pairs is not None and bool(pairs.p_holm[0, 1] <= 0.05 and pairs.difference[0, 1] > 0)

    return rate(found() for _ in range(draws))


def planned_power(
    correct: Bools, labels: Labels, targets: Sequence[int], controls: Sequence[int], points: float, *, draws: int = 200
) -> list[Rate]:
    """How often a tuner planted ``points`` percentage points of TA above equals is told from each of ``controls``.

    Found means Holm p <= 5 % with the right sign, in the family of all planned contrasts. Every draw plants another
    tuner; all have the same search variance, the mean of the fitted ones, but for the controls: the first is the
    untuned network, which no search touches, and any other keeps its own.
    """
    rng = np.random.default_rng(0)
    values, strata = select(correct, labels, targets)
    deviation = search_deviation(values, strata)
    others = [tuner for tuner in range(len(values)) if tuner not in controls]
    deviation[others] = np.sqrt((deviation[others] ** 2).mean())
    deviation[controls[0]] = 0.0
    found = []
    for _ in range(draws):
        tuner = int(rng.choice(others))
        null = simulate_null(values, strata, rng, deviation)
        contrasts = planned(plant(null, tuner, points, rng), strata, None, controls)
        assert contrasts is not None
        ahead = (contrasts.p_holm <= 0.05) & (contrasts.difference > 0) & (contrasts.tuner == tuner)
        found.append([bool((ahead & (contrasts.control == control)).any()) for control in controls])
    return [rate(outcomes) for outcomes in zip(*found, strict=True)]


def detectable_effect(
    correct: Bools, labels: Labels, targets: Sequence[int], *, draws: int = 200, seed: int = 0
) -> float | None:
    """Least planted effect on TA, in steps of half a percentage point up to 10, with a `power` of 80 %, or None."""
    effects = np.arange(0.5, 10.5, 0.5).tolist()
    enough = (e for e in effects if power(correct, labels, targets, e, draws=draws, seed=seed).rate >= 0.8)
    return next(enough, None)


def _leads(values: Bools, strata: Labels, controls: Sequence[int]) -> bool:
    tests = planned(values, strata, None, controls) if controls else pairwise(values, strata, None)
    return tests is not None and bool((tests.p_holm <= 0.05).any())


def _shift(correct: Bools, change: Floats, rng: np.random.Generator, *, shared: bool = False) -> Bools:
    """A copy with shares ``change`` (T, S) of the images flipped, + to right, - to wrong; disputed first.

    In dispute are images on which the tuners of a seed disagree: those near the boundary. ``shared`` flips
    the same images at every seed as far as it can.
    """
    tuners, seeds, images = correct.shape
    disputed = correct.any(0) & ~correct.all(0)
    luck = rng.random((tuners, 1 if shared else seeds, images))
    priority = luck + disputed
    shifted = correct.copy()
    for t, s in np.ndindex(tuners, seeds):
        count = round(float(change[t, s]) * images)
        if count:
            flippable = np.flatnonzero(shifted[t, s] != (count > 0))
            first = np.argsort(-priority[t, s % priority.shape[1], flippable])[: abs(count)]
            shifted[t, s, flippable[first]] ^= True
    return shifted
