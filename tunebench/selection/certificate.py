"""The certificate: how much OA a change can cost on new data, from labelled samples that no choice has seen.

Original and tuned network are compared on ``samples`` n independent samples. ``lost`` l counts those that the original
has right and the tuned network wrong, ``gained`` g the opposite. The loss of OA is E D with D in {-1, 0, 1}, and
(l, g, n - l - g) is trinomial. H0: E D > b is rejected, and the budget b certified, where Tango's efficient score
(Tango 1998, Statistics in Medicine 17, 891) is below the normal quantile even with two changes that make its size at
most 1 - confidence at every n and every share of changed predictions, the nuisance:

- l is raised by a correction for counts being whole: ln 2, the most by which a binomial's mean exceeds its median,
  where few predictions change, up to 1 where all do, as then l - g moves in steps of 2.
- The variance of D is replaced by its second moment, the share of changed predictions.

That the size is kept is not a theorem: it is computed exactly, over the trinomial, for n from 3 to 20,000, b up to 0.8,
confidence from 0.501 to 0.999 and any share of changes (`tunebench.selection.power`, leaderboards/aa/README.md). The
answer is monotone in l, g, n, b and the confidence. All budgets, losses and bounds here are fractions, not points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import takewhile
from typing import Any

import numpy as np

from tunebench.errors import UsageError

POWER = 0.8
"""Chance of a certificate that `samples_needed` plans for."""
MOST = 10**9
"""Samples beyond which nobody is told to go."""


def certifies(lost: int, gained: int, samples: int, budget: float, confidence: float) -> bool:
    """Whether the loss of OA is at most ``budget`` with ``confidence``.

    Holds where the truth exceeds the budget with probability at most 1 - ``confidence``. UsageError for counts that
    cannot be, a budget outside [0, 1] or a confidence outside (0.5, 1).
    """
    check_counts(lost, gained, samples)
    check_share("budget", budget)
    return bool(spare(lost, gained, samples, budget, quantile(confidence)) >= 0)


def loss_bound(lost: int, gained: int, samples: int, confidence: float) -> float:
    """The least budget that `certifies` grants, in [0, 1]: an upper bound of the loss of OA."""
    check_counts(lost, gained, samples)
    z = quantile(confidence)

    def here(budget: float) -> float:
        return float(spare(lost, gained, samples, budget, z))

    if here(0.0) >= 0:
        return 0.0
    from scipy.optimize import brentq  # a third of a second, which nobody waits for who reads results

    return float(brentq(here, 0.0, 1.0, xtol=1e-12)) if here(1.0) > 0 else 1.0


def exceeds(lost: int, gained: int, samples: int, budget: float, confidence: float) -> bool:
    """Whether the loss of OA is above ``budget`` with ``confidence``: the same test with the networks exchanged."""
    check_counts(lost, gained, samples)
    check_share("budget", budget)
    return bool(spare(gained, lost, samples, -budget, quantile(confidence)) >= 0)


def spare(lost: Any, gained: Any, samples: Any, budget: Any, z: float) -> Any:
    """By how many samples the test is passed, negative where it is not; elementwise over arrays of one shape."""
    changed = lost + gained
    correction = math.log(2) + (1 - math.log(2)) * changed / samples
    return (
        samples * budget
        - (lost - gained)
        - correction
        - z * np.sqrt(samples * discordance_at(budget, lost, gained, samples))
    )


def discordance_at(loss: Any, lost: Any, gained: Any, samples: Any) -> Any:
    """Maximum likelihood estimate of P(lost) + P(gained) where their difference is ``loss`` (Tango 1998)."""
    linear = (2 * samples - lost + gained) * loss - lost - gained
    root = np.sqrt(np.maximum(linear**2 + 8 * samples * gained * loss * (1 - loss), 0))
    return (root - linear) / (2 * samples) + loss


def samples_needed(
    budget: float, confidence: float, discordance: float = 0.0, loss: float = 0.0, power: float = POWER
) -> int | None:
    """Samples with which a change is certified with chance ``power``; None where no number is enough.

    ``discordance`` is the share of samples on which exactly one of the two networks is right, ``loss`` the true loss
    of OA. With the defaults, which change nothing, it is the least number that can certify the budget. Normal
    approximation; `tunebench.selection.power` has the exact chance.
    """
    check_share("budget", budget)
    check_share("discordance", discordance)
    from scipy.special import ndtri

    z, reserve = quantile(confidence), ndtri(power) * math.sqrt(max(discordance - loss**2, 0.0))

    def enough(samples: int) -> bool:
        lost, gained = (samples * (discordance + sign * loss) / 2 for sign in (1, -1))
        return bool(spare(lost, gained, samples, budget, z) >= reserve * math.sqrt(samples))

    return least(enough) if loss < budget else None


def recall_bound(hits: int, samples: int, confidence: float) -> float:
    """Lower bound of a recall of which ``hits`` of ``samples`` were seen (Clopper & Pearson 1934); exact."""
    check_counts(hits, 0, samples)
    quantile(confidence)
    from scipy.special import betaincinv

    return float(betaincinv(hits, samples - hits + 1, 1 - confidence)) if hits else 0.0


def recall_samples_needed(floor: float, confidence: float, recall: float) -> int | None:
    """Target samples with which `recall_bound` reaches ``floor`` at a share of ``recall`` hits; None: never."""

    def enough(samples: int) -> bool:
        return recall_bound(math.floor(recall * samples), samples, confidence) >= floor

    return least(enough) if recall > floor else None


def least(enough: Any) -> int | None:
    """The least whole number from 1 that is ``enough``, where all beyond it are; None if that is above `MOST`."""
    high = 1
    while not enough(high):
        if high > MOST:
            return None
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def walk(passed: Iterable[bool]) -> int:
    """How many points of a path are certified together: those before the first that fails.

    Fixed sequence: each is tested at the full level, because their order was fixed before and the first failure ends
    it (Angelopoulos et al. 2021, Learn then Test; Laufer-Goldshtein et al. 2023). ``passed`` is read no further.
    """
    return sum(1 for _ in takewhile(bool, passed))


def quantile(confidence: float) -> float:
    """Normal quantile of a confidence; UsageError outside (0.5, 1)."""
    if not 0.5 < confidence < 1:
        raise UsageError(f"confidence is {confidence}; give a share above 0.5 and below 1, such as 0.9")
    from scipy.special import ndtri

    return float(ndtri(confidence))


def check_counts(lost: int, gained: int, samples: int) -> None:
    """UsageError unless ``lost`` and ``gained`` can be counts among ``samples``."""
    if samples < 1 or min(lost, gained) < 0 or lost + gained > samples:
        raise UsageError(f"{lost} lost and {gained} gained of {samples} samples cannot be; count each sample once")


def check_share(what: str, value: float) -> None:
    """UsageError unless ``value`` is a fraction."""
    if not 0 <= value <= 1:
        raise UsageError(f"{what} is {value}; give a fraction from 0 to 1")
