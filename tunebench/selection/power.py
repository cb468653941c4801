"""The exact chance that a certificate is given, over the trinomial distribution of lost and gained samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr
from scipy.stats import binom

from tunebench.selection.certificate import quantile, spare

Floats = NDArray[np.float64]


def certified_chance(samples: int, loss: float, discordance: float, budget: float, confidence: float) -> float:
    """Probability that ``budget`` is certified on ``samples`` samples; exact but for numbers of changes
    beyond nine standard deviations.

    ``loss`` is the true loss of OA and ``discordance``, at least as large, the share of samples on which exactly one
    of the two networks is right. Where the loss is the budget or more, this is the rate of false certificates.
    """
    middle, reach = samples * discordance, 9 * np.sqrt(samples * discordance * (1 - discordance)) + 30
    changed = np.arange(max(0.0, np.floor(middle - reach)), min(samples, np.ceil(middle + reach)) + 1)
    most = most_lost(changed, samples, budget, confidence)
    share = min(1.0, (discordance + loss) / (2 * discordance)) if discordance else 0.0
    passed = np.where(most < 0, 0.0, bdtr(np.maximum(most, 0), changed.astype(np.int64), share))
    return float(binom.pmf(changed, samples, discordance) @ passed)


def most_lost(changed: Floats, samples: int, budget: float, confidence: float) -> Floats:
    """Of ``changed`` (K,) samples, the most that may be lost for the budget to be certified; -1 where none may."""
    z = quantile(confidence)
    low, high = np.full(changed.shape, -1.0), changed + 1  # certified, not certified
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        good = (middle < 0) | (spare(middle, changed - middle, samples, budget, z) >= 0)
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return low
