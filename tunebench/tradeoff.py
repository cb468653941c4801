"""Exact trade-off along a ray: how TA and OA change as one direction of the logits is scaled (METHODS section 2, end).

For a fixed direction each sample flips at one known scale, so all counts are step functions of the scale whose
breakpoints are sorted once. An additive shift of the target logits is the same with a constant direction.
N is the number of samples, K the number of intervals between breakpoints.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

NARROW = 2e-6
"""Relative width below which an interval of scales is passed over: float32 logits could not hit it."""


class Score(NamedTuple):
    """Counts over the N samples of the selection split."""

    hits: int
    """Target samples that are right."""
    correct: int
    """All samples that are right."""
    lost: int
    """Samples that the original had right and that are wrong now."""
    gained: int
    """Samples that the original had wrong and that are right now."""


class Steps(NamedTuple):
    """Counts on each open interval (low, high) of scales, every field (K,); ``high`` of the last one is inf."""

    low: Floats
    high: Floats
    hits: Counts
    correct: Counts
    lost: Counts
    gained: Counts

    def score(self, interval: int) -> Score:
        """The counts on one interval."""
        return Score(*(int(field[interval]) for field in self[2:]))

    def scale(self, interval: int) -> float:
        """Midpoint of one interval; twice its low end where it has no high one."""
        low, high = float(self.low[interval]), float(self.high[interval])
        if math.isinf(high):
            return 2 * low if low > 0 else 1.0
        return (low + high) / 2


class Margins(NamedTuple):
    """How each sample stands between the target classes and the rest, every field (N,)."""

    gap: Floats
    """Best other logit minus best target logit; the sample is predicted a target where it is negative."""
    right_in: Bools
    """Right if predicted a target."""
    right_out: Bools
    """Right if not."""
    was_in: Bools
    """Predicted a target; decides where the gap is 0."""
    was_right: Bools
    """The original has it right."""
    is_target: Bools

    def moved(self, addition: Floats) -> Margins:
        """The margins with ``addition`` (N,) on the target logits; what counts as lost stays the same."""
        gap = self.gap - addition
        return self._replace(gap=gap, was_in=gap < 0)


def margins(logits: Tensor, labels: Tensor, targets: tuple[int, ...], was_right: Bools | None = None) -> Margins:
    """Margins of logits (N, C) with labels (N,) int64; ``was_right`` (N,) is the original's, if another net's."""
    columns = labels.new_tensor(sorted(targets))  # ties go to the lowest class, as in argmax
    best_other, other = logits.index_fill(1, columns, -torch.inf).max(1)
    best_target, which = logits[:, columns].max(1)
    before = logits.argmax(1)
    fields = (
        best_other.double() - best_target.double(),
        columns[which] == labels,
        other == labels,
        torch.isin(before, columns),
        before == labels,
        torch.isin(labels, columns),
    )
    found = Margins(*(field.cpu().numpy() for field in fields))
    return found if was_right is None else found._replace(was_right=was_right)


def score(logits: Tensor, base: Margins, labels: Tensor) -> Score:
    """Counts of the predictions of ``logits`` (N, C) against ``base``, with labels (N,)."""
    now = (logits.argmax(1) == labels).cpu().numpy()
    before = base.was_right
    return Score(*(int(np.count_nonzero(b)) for b in (now & base.is_target, now, before & ~now, now & ~before)))


def feasible(found: Score, samples: int, budget: float, margin: str = "none") -> bool:
    """Whether ``found`` keeps the OA budget (percentage points) on ``samples`` selection samples.

    In integers: correct >= correct_original - floor(budget * N / 100 + 1e-9). With ``margin`` "1se" the loss plus
    one standard error of the paired difference has to fit instead.
    """
    return bool(kept(np.array(found.lost), np.array(found.gained), samples, budget, margin))


def kept(lost: Counts, gained: Counts, samples: int, budget: float, margin: str) -> Bools:
    """`feasible`, elementwise over integer arrays of one shape."""
    allowed = math.floor(budget * samples / 100 + 1e-9)
    loss = lost - gained
    if margin == "none":
        return np.asarray(loss <= allowed)
    variance = lost + gained - loss.astype(np.float64) ** 2 / samples
    return np.asarray(loss + np.sqrt(np.maximum(variance, 0)) <= allowed)


def ray_steps(base: Margins, direction: ArrayLike) -> Steps:
    """Counts with ``scale * direction`` (N,) added to the target logits, for every scale > 0.

    With several targets all their logits get the same addition.
    """
    gap, speed = base.gap, np.asarray(direction, dtype=np.float64)
    inside = gap < 0
    tied = np.flatnonzero(gap == 0)
    inside[tied] = (speed[tied] > 0) | ((speed[tied] == 0) & base.was_in[tied])
    matters = base.right_in | base.right_out  # wrong either way: no count changes
    rows = np.flatnonzero((gap * speed > 0) & matters)
    at = gap[rows] / speed[rows]
    order = np.argsort(at)
    at, rows = at[order], rows[order]
    sign = np.where(inside[rows], -1, 1)

    def path(when_in: Bools, when_out: Bools) -> Counts:
        start = np.count_nonzero(np.where(inside, when_in, when_out))
        change = sign * (when_in[rows].astype(np.int64) - when_out[rows])
        return start + np.concatenate(([0], np.cumsum(change)))

    correct = path(base.right_in, base.right_out)
    lost = path(base.was_right & ~base.right_in, base.was_right & ~base.right_out)
    return Steps(
        low=np.concatenate(([0.0], at)),
        high=np.concatenate((at, [np.inf])),
        hits=path(base.right_in & base.is_target, base.right_out & base.is_target),
        correct=correct,
        lost=lost,
        gained=correct - np.count_nonzero(base.was_right) + lost,
    )


def shift_steps(base: Margins) -> tuple[Steps, float]:
    """Counts for every bias on the target logits, of either sign, as a ray and the offset of its origin.

    The bias of an interval is its scale minus the offset.
    """
    offset = max(0.0, -float(base.gap.min())) + 1.0
    return ray_steps(base.moved(np.full(base.gap.shape, -offset)), np.ones_like(base.gap)), offset


def best_interval(steps: Steps, samples: int, budget: float, margin: str = "none") -> int | None:
    """The first interval with the highest TA, then OA, within the budget (percentage points), or None."""
    good = kept(steps.lost, steps.gained, samples, budget, margin)
    good &= steps.high - steps.low > NARROW * steps.low
    if not good.any():
        return None
    return int(np.argmax(np.where(good, steps.hits * (samples + 1) + steps.correct, -1)))


def best_scale(steps: Steps, samples: int, budget: float, margin: str = "none") -> float | None:
    """The scale of the `best_interval`, or None if no scale > 0 keeps the budget."""
    interval = best_interval(steps, samples, budget, margin)
    return None if interval is None else steps.scale(interval)
