"""Whether tuned networks keep a budget of OA, from predictions alone: where they agree with the original, no label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunebench.boards.formats import percent
from tunebench.errors import UsageError
from tunebench.selection.certificate import certifies, loss_bound, samples_needed, walk

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Promise:
    """What can be said of a path of tuned networks; ``budget`` and ``bound`` are fractions."""

    budget: float
    confidence: float
    samples: int
    passed: int
    """How many networks of the path are certified, counted from the safest; 0: none."""
    lost: int
    """Samples that the last of them, or the first network, has wrong and the original right."""
    gained: int
    bound: float
    """The least budget that its counts certify."""
    missing: int | None
    """Where none is certified, how many more samples it would probably take; None where no number would do."""


def disputed(original: Ints, path: Sequence[Ints]) -> NDArray[np.bool_]:
    """Which of N samples need a label: those on which any network of ``path`` disagrees with the original, (N,)."""
    differs: NDArray[np.bool_] = np.logical_or.reduce([tuned != original for tuned in path])
    return differs


def promise(original: Ints, path: Sequence[Ints], labels: Ints, budget: float, confidence: float) -> Promise:
    """The certificate for predictions (N,) of the original and of a path of networks, safest first.

    ``labels`` (N,) are looked at where a sample is `disputed` and nowhere else. The path's order, and N, have to be
    settled before the labels are known. UsageError where N is too small for a certificate of this budget.
    """
    samples = len(original)
    require_enough(samples, budget, confidence)
    before = original == labels
    counts = [
        (int(np.count_nonzero(before & (tuned != labels))), int(np.count_nonzero(~before & (tuned == labels))))
        for tuned in (np.where(tuned == original, original, tuned) for tuned in path)
    ]
    passed = walk(certifies(lost, gained, samples, budget, confidence) for lost, gained in counts)
    lost, gained = counts[max(passed, 1) - 1]
    needed = samples_needed(budget, confidence, (lost + gained) / samples, (lost - gained) / samples)
    return Promise(
        budget,
        confidence,
        samples,
        passed,
        lost,
        gained,
        loss_bound(lost, gained, samples, confidence),
        None if passed or needed is None else max(1, needed - samples),
    )


def require_enough(samples: int, budget: float, confidence: float) -> None:
    """UsageError where so few samples cannot even certify a network that changes nothing."""
    least = samples_needed(budget, confidence)
    if budget > 0 and least is not None and samples < least:
        raise UsageError(
            f"{samples:,} samples cannot certify a budget of {percent(budget)} points at {percent(confidence)}% "
            f"confidence; it takes at least {least:,}"
        )


def told(found: Promise) -> str:
    """A promise in a sentence or two."""
    counts = f"{found.samples:,} samples, {found.lost} lost, {found.gained} gained"
    limit, at = f"{percent(found.budget)} points", f"{percent(found.confidence)}% confidence"
    if found.passed:
        return f"certified: OA falls by at most {limit} on new data like these, at {at} ({counts})"
    hint = "its loss is too near to the budget for any number of samples"
    if found.missing is not None:
        hint = f"at these rates about {found.missing:,} more samples would do"
    least = math.ceil(1e4 * found.bound) / 100  # rounded up: less is what was refused
    return f"not certified at {limit}, {at} ({counts}; the least budget is {least:.2f}); {hint}"
