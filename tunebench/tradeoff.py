"""Exact trade-off along a ray: how TA and OA change as one direction of the logits is scaled (METHODS section 2, end).

For a fixed direction each sample flips at one known scale, so all counts are step functions of the scale whose
breakpoints are sorted once. An additive shift of the target logits is the same with a constant direction.
N is the number of samples, K the number of intervals between breakpoints.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

NARROW = 1e-5
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

    low: Tensor
    high: Tensor
    hits: Tensor
    correct: Tensor
    lost: Tensor
    gained: Tensor


def score(logits: Tensor, base: Margins, labels: Tensor) -> Score:
    """Counts of the predictions of ``logits`` (N, C) against ``base``, with labels (N,)."""
    now, before = logits.argmax(1) == labels, base.was_right
    return Score(*(int(t.sum()) for t in (now & base.is_target, now, before & ~now, now & ~before)))


def feasible(found: Score, samples: int, budget: float, margin: str = "none") -> bool:
    """Whether ``found`` keeps the OA budget (percentage points) on ``samples`` selection samples.

    In integers: correct >= correct_original - floor(budget * N / 100 + 1e-9). With ``margin`` "1se" the loss plus
    one standard error of the paired difference has to fit instead.
    """
    return bool(kept(torch.tensor(found.lost), torch.tensor(found.gained), samples, budget, margin))


def kept(lost: Tensor, gained: Tensor, samples: int, budget: float, margin: str) -> Tensor:
    """`feasible`, elementwise over integer tensors of one shape."""
    allowed = math.floor(budget * samples / 100 + 1e-9)
    loss = lost - gained
    if margin == "none":
        return loss <= allowed
    variance = (lost + gained).double() - loss.double() ** 2 / samples
    return loss + variance.clamp(min=0).sqrt() <= allowed


class Margins(NamedTuple):
    """How each sample stands between the target classes and the rest, every field (N,)."""

    gap: Tensor
    """Best other logit minus best target logit, float64; the sample is predicted a target where it is negative."""
    right_in: Tensor
    """Right if predicted a target."""
    right_out: Tensor
    """Right if not."""
    was_in: Tensor
    was_right: Tensor
    is_target: Tensor


def margins(logits: Tensor, labels: Tensor, targets: tuple[int, ...], was_right: Tensor | None = None) -> Margins:
    """Margins of logits (N, C) with labels (N,) int64; ``was_right`` (N,) bool is the original's, if another net's."""
    columns = labels.new_tensor(sorted(targets))  # ties go to the lowest class, as in argmax
    others = logits.index_fill(1, columns, -torch.inf)
    best_other, other = others.max(1)
    best_target, which = logits[:, columns].max(1)
    before = logits.argmax(1)
    return Margins(
        gap=(best_other - best_target).double(),
        right_in=columns[which] == labels,
        right_out=other == labels,
        was_in=torch.isin(before, columns),
        was_right=before == labels if was_right is None else was_right,
        is_target=torch.isin(labels, columns),
    )


def ray_steps(base: Margins, direction: Tensor) -> Steps:
    """Counts with ``scale * direction`` (N,) added to the target logits, for every scale > 0.

    With several targets all their logits get the same addition.
    """
    gap, speed = base.gap, direction.double()
    tied = gap == 0
    inside = (gap < 0) | (tied & (speed > 0)) | (tied & (speed == 0) & base.was_in)
    moves = ((speed > 0) & (gap > 0)) | ((speed < 0) & (gap < 0))
    moves &= base.right_in | base.right_out  # wrong either way: no count changes
    rows = moves.nonzero()[:, 0]
    at, order = (gap[rows] / speed[rows]).sort()
    rows = rows[order]
    sign = torch.where(inside[rows], -1, 1)

    def path(when_in: Tensor, when_out: Tensor) -> Tensor:
        start = torch.where(inside, when_in, when_out).sum()[None]
        change = sign * (when_in[rows].long() - when_out[rows].long())
        return torch.cat([start, start + change.cumsum(0)])

    correct = path(base.right_in, base.right_out)
    lost = path(base.was_right & ~base.right_in, base.was_right & ~base.right_out)
    edges = torch.cat([at.new_zeros(1), at, at.new_full((1,), torch.inf)])
    return Steps(
        low=edges[:-1],
        high=edges[1:],
        hits=path(base.right_in & base.is_target, base.right_out & base.is_target),
        correct=correct,
        lost=lost,
        gained=correct - base.was_right.sum() + lost,
    )


def best_scale(steps: Steps, samples: int, budget: float, margin: str = "none") -> float | None:
    """The scale with the highest TA, then OA, within the budget (percentage points), or None if no scale > 0 keeps it.

    It is the midpoint of the first interval with these counts; beyond the last breakpoint, twice that breakpoint.
    """
    good = kept(steps.lost, steps.gained, samples, budget, margin)
    good &= steps.high - steps.low > NARROW * steps.low
    if not bool(good.any()):
        return None
    rank = torch.where(good, steps.hits * (samples + 1) + steps.correct, -1)
    first = int(rank.argmax())
    low, high = float(steps.low[first]), float(steps.high[first])
    if math.isinf(high):
        return 2 * low if low > 0 else 1.0
    return (low + high) / 2
