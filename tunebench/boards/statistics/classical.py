"""Tests that need no bootstrap: Holm, McNemar, paired t, signed rank, Friedman; compact letters; the area.

Every p-value is two-sided unless it says otherwise, lies in [0, 1] and is never NaN.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tunebench.boards.statistics.variance import Floats

MIN_BLOCKS = 8
"""Fewest data set x model x target blocks from which a rank test across them is worth quoting."""


def holm(p: ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values of the family ``p`` (P,), in the same order (Holm 1979)."""
    p = np.asarray(p, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    factors = len(p) - np.arange(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


def mcnemar(only_a: ArrayLike, only_b: ArrayLike) -> Floats:
    """Exact McNemar p of pairs of trained models on the same images, in the shape of the counts.

    ``only_a`` counts the images that the first model has right and the second wrong, ``only_b`` the reverse (see
    `pairs.only_first`): the target's images to compare TA, all images to compare OA. It speaks of these two models
    alone, not of their tuners: seeds have no part in it.
    """
    from scipy.special import bdtr

    a, b = np.asarray(only_a, np.float64), np.asarray(only_b, np.float64)
    # The two-sided binomial test at 1/2, which is symmetric: twice the lower tail, at most 1.
    return np.minimum(1.0, 2 * bdtr(np.minimum(a, b), (a + b).astype(np.int64), 0.5))


def paired_t(differences: ArrayLike, alternative: str = "two-sided") -> Floats | None:
    """p of the paired t test over seeds, ``differences`` (..., S), in the shape before S; None for a single seed.

    A cross-check: it takes the test images as the whole population. ``alternative`` is ``two-sided`` or
    ``greater``.
    """
    from scipy.special import stdtr

    d = np.asarray(differences, np.float64)
    seeds = d.shape[-1]
    if seeds < 2:
        return None
    mean, error = d.mean(-1), d.std(-1, ddof=1) / np.sqrt(seeds)
    t = mean / np.maximum(error, 1e-300)  # the same difference at every seed: 0 if none, else as good as infinite
    p: Floats = stdtr(seeds - 1, -t) if alternative == "greater" else 2 * stdtr(seeds - 1, -np.abs(t))
    return p


def signed_rank(differences: ArrayLike) -> float | None:
    """p of Wilcoxon's signed rank test over seeds, ``differences`` (S,); None for a single seed.

    Zeros are dropped.     With 5 seeds it cannot fall below 0.0625.
    """
    from scipy.stats import wilcoxon

    d = np.asarray(differences, np.float64)
    if len(d) < 2:
        return None
    d = d[d != 0]
    return float(wilcoxon(d).pvalue) if len(d) else 1.0


@dataclass(frozen=True)
class RankTest:
    """Friedman's test of tuners across blocks; without a ``p``, ``reason`` says why."""

    p: float | None
    reason: str | None
    mean_ranks: tuple[float, ...]
    """Mean rank of each tuner over the blocks, 1 is best, ties averaged."""


def rank_test(scores: ArrayLike) -> RankTest:
    """Friedman's test on ``scores`` (blocks, tuners), higher is better; from 8 blocks and 3 tuners on."""
    scores = np.asarray(scores, np.float64)
    blocks, tuners = scores.shape
    above, level = (compared(scores[:, :, None], scores[:, None]).sum(1) for compared in (np.greater, np.equal))
    ranks = tuple((above + (level + 1) / 2).mean(0).tolist()) if blocks else ()
    if blocks < MIN_BLOCKS:
        return RankTest(None, f"{blocks} blocks; a rank test needs at least {MIN_BLOCKS}", ranks)
    if tuners < 3:
        return RankTest(None, f"{tuners} tuners; a rank test needs at least 3", ranks)
    if (scores == scores[:, :1]).all():
        return RankTest(1.0, None, ranks)
    from scipy.stats import friedmanchisquare  # takes a second to import

    return RankTest(float(friedmanchisquare(*scores.T).pvalue), None, ranks)


def tie_groups(order: Sequence[int], p_holm: ArrayLike | None, alpha: float = 0.05) -> list[str]:
    """Compact letter display: two tuners share a letter exactly if their p_holm is above ``alpha``.

    ``order`` lists tuners by rank, ``p_holm`` is (T, T), symmetric; the answer follows ``order``. Without
    p_holm (a single seed) nothing is marked: empty strings. Insert and absorb (Piepho 2004).
    """
    if p_holm is None:
        return [""] * len(order)
    p = np.asarray(p_holm, np.float64)[np.ix_(order, order)]
    groups = [frozenset(range(len(order)))] if len(order) else []
    for i, j in zip(*np.nonzero(np.triu(p <= alpha, 1)), strict=True):
        split = [g - {k} for g in groups if {i, j} <= g for k in (i, j)]
        candidates = {*(g for g in groups if not {i, j} <= g), *split}
        groups = [g for g in candidates if not any(g < other for other in candidates)]
    groups.sort(key=sorted)
    return ["".join(_letter(k) for k, g in enumerate(groups) if i in g) for i in range(len(order))]


def _letter(k: int) -> str:
    """a-z, A-Z, then accented letters: one character each, so that strings of them stay readable."""
    return string.ascii_letters[k] if k < 52 else chr(0x100 + k - 52)


def area(budgets_pp: ArrayLike, gains: ArrayLike) -> float:
    """Area under the TA gain over OA budgets 0 to 1 percentage points, divided by 1; unit as ``gains``.

    ``budgets_pp`` (B,) ascending from 0 to 1, ``gains`` (B,). docs/methods.md, section 5.
    """
    budgets = np.asarray(budgets_pp, np.float64)
    if len(budgets) < 2 or budgets[0] != 0 or budgets[-1] != 1 or (np.diff(budgets) <= 0).any():
        raise ValueError(f"budgets must ascend from 0 to 1 percentage points, got {budgets.tolist()}")
    return float(np.trapezoid(np.asarray(gains, np.float64), budgets))
