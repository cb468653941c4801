"""Variance of a mean over crossed seeds and test images, and its t reference.

A crossed bootstrap draws seeds and, within each class, test images with replacement, independently of each
other. With 3 or 5 seeds it cannot be used as it comes: its seed variance is short by (S - 1) / S, its tails
are those of S points, and no percentile of 2,000 resamples survives a correction for 153 pairs. What it
estimates are three moments, which have a closed form; `spread` computes them without bias and without Monte
Carlo noise (Owen 2007, "The pigeonhole bootstrap", relates the two; `tunebench.boards.statistics.bootstrap`
resamples and serves as the check).

`reference` turns them into a standard error with Satterthwaite degrees of freedom (Hillis 2007 for the same
crossed layout in reader studies). Two or four degrees of freedom for the seeds would leave no power, so
differences borrow strength from the other pairs of the same block: an empirical Bayes prior on the ratio of
seed variance to residual variance (Smyth 2004). Three limits keep one unstable tuner among quiet ones from
being declared significant on the strength of the others (each was needed in simulation, see
`tunebench.boards.calibration`): the prior is a floor, no standard error falls below what the pair itself shows; it
counts for no more than `borrowable` degrees of freedom; and the images' many degrees of freedom do not add to
the seeds' few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LONE_LEVEL = 0.035
"""Two-sided level that a tuner keeps of whose variance nothing is known but its own S - 1 degrees of freedom.

Below 5 %, because such a tuner is compared with all others; see `borrowable`.
"""


@dataclass(frozen=True, eq=False)
class Spread:
    """Means of K quantities over S seeds and N images, and the parts of their variances; arrays are (K,).

    In terms of the model ``value = mean + seed + image + residual``: ``seed`` estimates
    var(seed) / S + var(residual) / SN, ``image`` estimates var(image) / N + var(residual) / SN, ``residual``
    estimates var(residual) / SN. Images vary within their class.
    """

    mean: Floats
    seed: Floats
    image: Floats
    residual: Floats
    image_df: Floats
    """Degrees of freedom of ``image``: about twice the number of images that differ, where few do."""
    seeds: int


@dataclass(frozen=True)
class Prior:
    """What all pairs of a block say about seed variance / residual variance; ``df`` 0 means nothing."""

    ratio: float = 1.0
    df: float = 0.0


@dataclass(frozen=True, eq=False)
class Sums:
    """What the variances of K quantities over S seeds and the images of C classes follow from, see `spread_of`."""

    by_seed: Floats
    """Sums of the values over the images of a class, (K, S, C)."""
    squared: Floats
    """Sums of their squares over seeds and the images of a class, (K, C)."""
    image_squares: Floats
    """Sums over a class of the squares of each image's mean over seeds, less the class's mean, (K, C)."""
    image_fourths: Floats
    """The same with fourth powers, (K, C)."""
    size: NDArray[np.integer]
    """Images of each class, (C,)."""


def spread(values: NDArray[np.generic], strata: NDArray[np.integer]) -> Spread:
    """Moments of ``values`` (K, S, N), S >= 2; ``strata`` (N,) are the images' classes, sorted ascending."""
    x = np.asarray(values, np.float64)
    start, size = runs(strata)

    def within(part: Floats) -> Floats:
        """Sums over the images of each class, (..., classes)."""
        return np.add.reduceat(part, start, axis=-1)

    by_image = x.mean(1)
    centred = by_image - np.repeat(within(by_image) / size, size, axis=-1)
    squared = within(np.einsum("ksn,ksn->kn", x, x))
    return spread_of(Sums(within(x), squared, within(centred**2), within(centred**4), size))


def runs(strata: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Where each class begins in ``strata`` (N,), sorted ascending, and how many images it has; both (C,)."""
    start = np.flatnonzero(np.diff(strata, prepend=strata[0] - 1))
    return start, np.diff(start, append=len(strata))


def spread_of(sums: Sums) -> Spread:
    """The moments that follow from sums."""
    size, seeds = sums.size, sums.by_seed.shape[1]
    images = size.sum()
    spare = np.maximum(size - 1, 1)  # a class of one image has no variance within
    total = sums.squared - (sums.by_seed**2).sum(1) / size
    deviations = total - seeds * sums.image_squares
    deviations[deviations < 1e-12 * total] = 0.0  # what rounding leaves of no deviation

    share = (size / images) ** 2  # the weight of a class's variance in that of the mean
    image = (share * sums.image_squares / (spare * size)).sum(-1)
    residual = (share * deviations / (spare * (seeds - 1) * size * seeds)).sum(-1)
    # A sample variance's own variance, from the fourth moment: df = 2 variance^2 / its variance.
    excess = np.maximum(sums.image_fourths - sums.image_squares**2 / size, 0.0)
    noise = share**2 * excess / (spare * size) ** 2
    by_seed = sums.by_seed.sum(-1) / images
    by_seed -= by_seed[:, :1]  # equal seeds have a variance of exactly 0
    return Spread(
        mean=sums.by_seed.sum((1, 2)) / (seeds * images),
        seed=by_seed.var(-1, ddof=1) / seeds,
        image=image,
        residual=residual,
        image_df=np.clip(_ratio(2 * image**2, noise.sum(-1), np.inf), 1.0, max(images - 1, 1)),
        seeds=seeds,
    )


def fit_prior(spread: Spread, tuners: int, tests: int | None = None) -> Prior:
    """Scaled inverse chi-square prior of the seed / residual ratio, from differences between ``tuners`` tuners.

    ``tests`` is the number of hypotheses that are tested together, by default all pairs. Matches mean and variance of
    the log ratios (Smyth 2004, section 6.2). Two tuners have one pair: no prior.
    """
    from scipy.special import digamma, polygamma

    known = spread.residual > 0
    ratio = spread.seed[known] / spread.residual[known]
    own_df = spread.seeds - 1
    if len(ratio) < 3 or not np.median(ratio) > 0:
        return Prior()
    # Few differing images make ratios of exactly 0; the bound keeps their logarithms from ruling the fit.
    log = np.log(np.maximum(ratio, 0.01 * np.median(ratio)))
    mean = float(log.mean() - digamma(own_df / 2) + np.log(own_df / 2))
    excess = float(log.var(ddof=1) - polygamma(1, own_df / 2))
    fitted = 2 * _inverse_trigamma(excess) if excess > 0 else np.inf
    if np.isfinite(fitted):
        mean += float(digamma(fitted / 2) - np.log(fitted / 2))
    # Seed variance is not negative, so that the ratio is at least 1 in expectation.
    return Prior(max(float(np.exp(mean)), 1.0), min(fitted, borrowable(tuners, own_df, tests)))


def borrowable(tuners: int, own_df: int, tests: int | None = None) -> float:
    """Most degrees of freedom that a pair may take from the others, without its seed variance being like theirs.

    Suppose one tuner is unstable and looks quiet by luck: then its t has ``own_df`` degrees of freedom,
    whatever we claim. The claim may go as far as its first quantile in Holm's procedure stays beyond t's at
    `LONE_LEVEL`, and not beyond what all tuners and seeds hold together, (T - 1) (S - 1). ``tests`` as in `fit_prior`.
    """
    from scipy.special import stdtrit

    tests = tests or tuners * (tuners - 1) // 2
    claims = np.arange(own_df, own_df * (tuners - 1) + 1)
    strict = stdtrit(claims, 1 - 0.025 / tests) >= stdtrit(own_df, 1 - LONE_LEVEL / 2)
    return float(claims[strict].max(initial=own_df) - own_df)


def reference(spread: Spread, prior: Prior | None = None) -> tuple[Floats, Floats]:
    """Standard errors (K,) of the means and the degrees of freedom (K,) of their t reference.

    With a prior, the degrees of freedom are the seeds' alone, no Satterthwaite sum: a corrected p-value lies
    far out in the tail, where a seed variance that is small by luck would take the images' degrees of
    freedom.
    """
    own_df = spread.seeds - 1
    extra = prior.df if prior else 0.0
    weight = extra / (extra + own_df)
    pooled = weight * (prior.ratio if prior else 1.0) * spread.residual + (1 - weight) * spread.seed
    # Variance components are not negative, hence no less than the residual's share.
    seed = np.maximum(np.maximum(spread.seed, pooled), spread.residual)
    image = np.maximum(spread.image - spread.residual, 0.0)
    total = seed + image
    seed_df = own_df + extra
    df = np.maximum(_ratio(total**2, seed**2 / seed_df + image**2 / spread.image_df, 1.0), 1.0)
    return np.sqrt(total), np.minimum(df, seed_df) if prior else df


def _ratio(a: Floats, b: Floats, otherwise: float) -> Floats:
    """``a / b``, and ``otherwise`` where b is 0."""
    return np.divide(a, b, out=np.full_like(a, otherwise), where=b > 0)


def _inverse_trigamma(y: float) -> float:
    """The x > 0 with trigamma(x) = y > 0, by Newton's method on 1 / trigamma (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    x = 0.5 + 1 / y
    for _ in range(50):
        value = float(polygamma(1, x))
        step = value * (1 - value / y) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-8 * x:
            break
    return x
