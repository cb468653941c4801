"""All pairs of tuners at once: what two tuners' outcomes, right or wrong, share and where they differ.

Outcomes of 0 and 1 have few distinct differences, so most of what `spread` needs are counts, and its powers are looked
up. The sums over images are taken in the order of `spread`, so that both give the same numbers to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebench.boards.statistics.variance import Floats, Spread, Sums, runs, spread_of

Bools = NDArray[np.bool_]
Indices = NDArray[np.integer[Any]]

AT_ONCE = 2**16
"""Values of one pass: they stay in the processor's cache, and a block's pairs together would take gigabytes."""


def only_first(correct: Bools) -> Floats:
    """On how many images of ``correct`` (T, S, N) the first of two tuners is right and the second wrong, (T, T, S)."""
    x = correct.astype(np.float32)  # counts below 2**24 are exact
    both = np.matmul(x.transpose(1, 0, 2), x.transpose(1, 2, 0)).astype(np.float64)
    alone: Floats = (np.diagonal(both, axis1=1, axis2=2)[:, :, None] - both.transpose(0, 1, 2)).transpose(1, 2, 0)
    return alone


@dataclass(frozen=True, eq=False)
class Differences:
    """What is known of the difference between any two of T tuners on one measure."""

    spread: Spread
    """Of all pairs a < b, in the order of `numpy.triu_indices`."""
    tuners: int
    images: int

    def between(self, first: Indices, second: Indices) -> Spread:
        """The moments of first minus second, index arrays (K,); a tuner has no difference to itself."""
        low, high = np.minimum(first, second), np.maximum(first, second)
        place = low * (2 * self.tuners - low - 1) // 2 + high - low - 1
        found = self.spread
        return Spread(
            mean=np.where(first < second, found.mean[place], 0.0 - found.mean[place]),
            seed=found.seed[place],
            image=found.image[place],
            residual=found.residual[place],
            image_df=found.image_df[place],
            seeds=found.seeds,
        )


def spread_of_pairs(correct: Bools, strata: Indices) -> Spread:
    """`spread` of the differences of all pairs a < b, in the order of `numpy.triu_indices`.

    ``correct`` (T, S, N) and ``strata`` (N,) are sorted by class, as `select` returns them.
    """
    tuners, seeds, _ = correct.shape
    first, second = np.triu_indices(tuners, 1)
    start, size = runs(strata)
    hits = np.add.reduceat(correct, start, axis=-1, dtype=np.float64)
    unlike = np.stack([only_first(part).sum(-1) for part in np.split(correct, start[1:], axis=-1)], axis=-1)
    squares, fourths = _deviations(correct.sum(1), (first, second), seeds, start)
    return spread_of(
        Sums(
            by_seed=hits[first] - hits[second],
            squared=unlike[first, second] + unlike[second, first],
            image_squares=squares,
            image_fourths=fourths,
            size=size,
        )
    )


def _deviations(right: Indices, pairs: tuple[Indices, Indices], seeds: int, start: Indices) -> tuple[Floats, Floats]:
    """Sums over the images of each class of squares and fourth powers of a pair's centred mean difference, (P, C).

    ``right`` (T, N) says at how many of the seeds a tuner is right, ``start`` (C,) where each class begins.
    """
    images = right.shape[1]
    size = np.diff(start, append=images)
    levels = np.arange(-seeds, seeds + 1) / seeds  # every value that a mean difference over seeds can have
    table = len(size) * len(levels)  # of one pair: (classes, levels)
    row = np.repeat(np.arange(0, table, len(levels)), size) + seeds
    squares, fourths = np.empty((2, len(pairs[0]), len(size)))
    for part in np.array_split(np.arange(len(pairs[0])), 1 + len(pairs[0]) * images // AT_ONCE):
        steps = right[pairs[0][part]] - right[pairs[1][part]]
        mean = np.add.reduceat(levels[steps + seeds], start, axis=-1) / size
        centred = levels - mean[..., None]
        places = steps + row + (table * np.arange(len(part)))[:, None]
        for power, sums in ((2, squares), (4, fourths)):
            sums[part] = np.add.reduceat(np.take(centred**power, places), start, axis=-1)
    return squares, fourths
