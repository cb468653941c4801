"""Intervals, pairwise tests and resamples of a block (data set x model x target) over seeds and test images.

Input everywhere: ``correct`` (T, S, N), bool, whether tuner t's network of seed s is right on test image n, the
same images for all. Seeds differ in their original and in the tuner's own randomness; the two are one source
of variance here. Everything is conditional on the data set, its classes and the target: nothing speaks of
other data sets.

A *measure* is a set of images: TA the targets' images, OA all of them (``targets=None``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebench.boards.statistics.classical import holm
from tunebench.boards.statistics.pairs import Differences, spread_of_pairs
from tunebench.boards.statistics.variance import Floats, Prior, fit_prior, reference, spread
from tunebench.errors import DataError

Correct = NDArray[Any]
Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Interval:
    """Means with 95 % intervals; arrays are (T,), fractions."""

    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Pairwise:
    """Differences between all T tuners; arrays (T, T), row minus column, fractions; p 1 on the diagonal."""

    difference: Floats
    error: Floats
    """Standard error of the difference."""
    df: Floats
    """Degrees of freedom of its t reference."""
    low: Floats
    """95 % interval of this one difference, not adjusted for the number of pairs."""
    high: Floats
    p: Floats
    """Two-sided."""
    p_holm: Floats
    """Adjusted over all pairs: a leader picked on the same data is not a fixed hypothesis."""
    prior: Prior


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Crossed resamples of the accuracies, (R, T), fractions; within a row, tuners share seeds and images."""

    ta: Floats
    oa: Floats


def interval(correct: Correct, labels: Labels, targets: Sequence[int] | None) -> Interval | None:
    """95 % interval of every tuner's mean TA (or OA, ``targets=None``); None for a single seed.

    Tuners share their originals, so nothing is borrowed between them: with 3 seeds these are wide. A mean of
    exactly 0 or 1 has the exact binomial bound of its images on the other side.
    """
    values, strata = select(correct, labels, targets)
    if values.shape[1] < 2:
        return None
    moments = spread(values, strata)
    error, df = reference(moments)
    low, high = bounds(moments.mean, error, df)
    bound = 0.025 ** (1 / len(strata))
    low = np.where((error == 0) & (moments.mean == 1), bound, np.clip(low, 0, 1))
    high = np.where((error == 0) & (moments.mean == 0), 1 - bound, np.clip(high, 0, 1))
    return Interval(moments.mean, low, high)


def differences(correct: Correct, labels: Labels, targets: Sequence[int] | None) -> Differences | None:
    """The differences in TA (or OA, ``targets=None``) between all tuners, to be tested; None for a single seed."""
    values, strata = select(correct, labels, targets)
    tuners, seeds, images = values.shape
    return Differences(spread_of_pairs(values, strata), tuners, images) if seeds > 1 else None


def pairwise(correct: Correct, labels: Labels, targets: Sequence[int] | None) -> Pairwise | None:
    """Differences in TA (or OA, ``targets=None``) of all pairs, tested together; None for a single seed."""
    found = differences(correct, labels, targets)
    return None if found is None else all_pairs(found, found.tuners)


def all_pairs(found: Differences, tuners: int) -> Pairwise:
    """The first ``tuners`` of the tuners, all pairs tested together."""
    first, second = np.triu_indices(tuners, 1)
    moments = found.between(first, second)
    prior = fit_prior(moments, tuners)
    error, df = reference(moments, prior)
    low, high = bounds(moments.mean, error, df)
    p = two_sided(moments.mean, error, df, found.images)

    def square(upper: Floats, lower: Floats, diagonal: float) -> Floats:
        full = np.full((tuners, tuners), diagonal)
        full[first, second], full[second, first] = upper, lower
        return full

    adjusted = holm(p)
    return Pairwise(
        difference=square(moments.mean, 0.0 - moments.mean, 0.0),
        error=square(error, error, 0.0),
        df=square(df, df, 1.0),
        low=square(low, 0.0 - high, 0.0),
        high=square(high, 0.0 - low, 0.0),
        p=square(p, p, 1.0),
        p_holm=square(adjusted, adjusted, 1.0),
        prior=prior,
    )


def bootstrap(
    correct: Correct, labels: Labels, targets: Sequence[int], *, seed: int = 0, resamples: int = 2000
) -> Bootstrap:
    """Accuracies of all tuners in ``resamples`` crossed resamples: seeds, and images within their class.

    For curves and ranks, and to check `spread`: the intervals and tests use its closed form, because
    resamples of S seeds have (S - 1) / S of the seed variance and the tails of S points. Deterministic by
    ``seed``.
    """
    values, strata = select(correct, labels, None)
    tuners, seeds, images = values.shape
    is_target = np.isin(strata, list(targets))
    _require_images(int(is_target.sum()), targets)
    rng = np.random.default_rng(seed)
    seed_weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    flat = values.reshape(-1, images).astype(np.float32)  # weights are small integers: sums are exact for bools
    parts: list[tuple[Floats, Floats]] = []
    for rows in np.array_split(seed_weights, max(1, resamples * images // 5_000_000)):
        weights = np.concatenate(list(_image_weights(strata, len(rows), rng)), axis=1)
        for_oa = (flat @ weights.T).reshape(tuners, seeds, -1)
        for_ta = (flat[:, is_target] @ weights[:, is_target].T).reshape(tuners, seeds, -1)
        oa, ta = (np.einsum("tsr,rs->rt", sums, rows) for sums in (for_oa, for_ta))
        parts.append((ta / is_target.sum(), oa / images))
    return Bootstrap(np.concatenate([ta for ta, _ in parts]), np.concatenate([oa for _, oa in parts]))


def _image_weights(strata: Labels, resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """How often each image of a class is drawn, class by class, (resamples, images of the class)."""
    for size in np.unique(strata, return_counts=True)[1]:
        draws = rng.integers(size, size=(resamples, size)) + size * np.arange(resamples)[:, None]
        yield (np.bincount(draws.ravel(), minlength=resamples * size).reshape(resamples, size).astype(np.float32))


def select(correct: Correct, labels: Labels, targets: Sequence[int] | None) -> tuple[Correct, Labels]:
    """The images of a measure, sorted by class: values (T, S, n) and their classes (n,)."""
    values, labels = np.asarray(correct), np.asarray(labels)
    if values.ndim != 3 or labels.shape != values.shape[2:]:
        raise ValueError(f"correct is {values.shape} and labels {labels.shape}; expected (T, S, N) and (N,)")
    order = np.argsort(labels, kind="stable")
    if targets is not None:
        order = order[np.isin(labels[order], list(targets))]
    _require_images(len(order), targets)
    return values[:, :, order], labels[order]


def _require_images(count: int, targets: Sequence[int] | None) -> None:
    if not count:
        which = "no test images" if targets is None else f"no test image of class {', '.join(map(str, targets))}"
        raise DataError(f"{which}: nothing to compare; choose a target class that the test split contains")


def bounds(mean: Floats, error: Floats, df: Floats) -> tuple[Floats, Floats]:
    """95 % interval of every mean."""
    from scipy.special import stdtrit

    half = stdtrit(df, 0.975) * error
    return mean - half, mean + half


def two_sided(mean: Floats, error: Floats, df: Floats, images: int) -> Floats:
    """p of ``mean / error``; without any spread: 1 if there is no difference, else the images' sign test."""
    from scipy.special import stdtr

    t = np.divide(np.abs(mean), error, out=np.zeros_like(mean), where=error > 0)
    degenerate = (error == 0) & (mean != 0)
    return np.where(degenerate, 2.0 ** (1 - np.ceil(np.abs(mean) * images - 1e-6)), 2 * stdtr(df, -t))
