"""Exact trade-off along a ray: TA and OA as one direction of the logits is scaled (docs/methods.md, section 2).

For a fixed direction each sample flips at one known scale, so all counts are step functions of the scale whose
breakpoints are sorted once. An additive shift of the target logits is the same with a constant direction.
N is the number of samples, K the number of intervals between breakpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tunebench.selection.budgets import allowance

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

Protected = Sequence[tuple[int, float]]
"""Classes and the points of recall that each may lose, as in `TuningTask.protect`."""

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
    usable: Bools | bool = True
    """Where a choice may lie: elsewhere a protected class loses too much, or a weight is too large; (K,), or all."""

    def score(self, interval: int) -> Score:
        """The counts on one interval."""
        return Score(*(int(field[interval]) for field in self[2:6]))

    def below(self, limit: float) -> Steps:
        """The same, of which only scales below ``limit`` are usable."""
        if math.isinf(limit):
            return self
        return self._replace(high=np.minimum(self.high, limit), usable=self.usable & (self.low < limit))

    def scale(self, interval: int) -> float:
        """Midpoint of one interval; twice its low end where it has no high one."""
        low, high = float(self.low[interval]), float(self.high[interval])
        if math.isinf(high):
            return 2 * low if low > 0 else 1.0
        return (low + high) / 2


class Margins(NamedTuple):
    """How each sample stands between the target classes and the rest, most fields (N,)."""

    gap: Floats
    """Best other logit minus best target logit; the sample is predicted a target where it is negative."""
    was_in: Bools
    """Predicted a target; decides where the gap is 0."""
    was_right: Bools
    """The original has it right."""
    is_target: Bools
    gains: NDArray[np.int8]
    """What each sample adds to hits, correct, lost and the right samples of each of P protected classes, (3 + P, N),
    when it is right and not wrong."""
    outside: Counts
    """These counts with nothing predicted a target, (3 + P,)."""
    change: NDArray[np.int8]
    """What each sample adds to them, (3 + P, N), when it is predicted a target."""
    least: Counts
    """How many samples of each protected class have to be right, (P,)."""

    @property
    def totals(self) -> int:
        """Number of target samples."""
        return int(np.count_nonzero(self.is_target))

    def moved(self, addition: Floats) -> Margins:
        """The margins with ``addition`` (N,) on the target logits; what counts as lost stays the same."""
        gap = self.gap - addition
        return self._replace(gap=gap, was_in=gap < 0)


def margins(
    logits: Tensor, labels: Tensor, targets: tuple[int, ...], was_right: Bools | None = None, protect: Protected = ()
) -> Margins:
    """Margins of logits (N, C) with labels (N,) int64.

    ``was_right`` (N,) is the original's, if the logits are another net's; ``protect`` are the classes that may lose so
    many points of recall against it.
    """
    columns = labels.new_tensor(sorted(targets))  # ties go to the lowest class, as in argmax
    best_other, other = logits.index_fill(1, columns, -torch.inf).max(1)
    best_target, which = logits.index_select(1, columns).max(1)
    mine = columns[which]
    fields = (
        best_other.double() - best_target.double(),
        (best_target > best_other) | ((best_target == best_other) & (mine < other)),
        torch.isin(labels, columns),
        mine == labels,
        other == labels,
        *(labels == number for number, _ in protect),
    )
    gap, was_in, is_target, right_in, right_out, *members = (field.cpu().numpy() for field in fields)
    right_before = np.where(was_in, right_in, right_out)
    was_right = right_before if was_right is None else was_right
    gains = np.stack([is_target, np.ones_like(was_right), was_right, *members]).astype(np.int8)
    gains[2] *= -1
    there, away = right_in.astype(np.int8), right_out.astype(np.int8)
    outside = nothing_right(gains) + (gains * away).sum(1, dtype=np.int64)
    least = least_right(members, was_right, protect)
    return Margins(gap, was_in, was_right, is_target, gains, outside, gains * (there - away), least)


def nothing_right(gains: NDArray[np.int8]) -> Counts:
    """The counts, (3 + P,), with every sample wrong: those that were right are lost."""
    counts = np.zeros(len(gains), dtype=np.int64)
    counts[2] = np.count_nonzero(gains[2])
    return counts


def least_right(members: Sequence[Bools], was_right: Bools, protect: Protected) -> Counts:
    """How many of the ``members`` (N,) of each protected class have to stay right, (P,)."""
    kept = [
        int(np.count_nonzero(was_right & mine)) - allowance(points, int(np.count_nonzero(mine)))
        for mine, (_, points) in zip(members, protect, strict=True)
    ]
    return np.array(kept, dtype=np.int64)


def protects(logits: Tensor, labels: Tensor, protect: Protected, least: Counts) -> bool:
    """Whether at least so many samples of each protected class are right under ``logits`` (N, C)."""
    right = labels[logits.argmax(1) == labels]
    return all(int((right == number).sum()) >= n for (number, _), n in zip(protect, least.tolist(), strict=True))


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
    return bool(kept(found.lost, found.gained, samples, budget, margin))


def kept(lost: Any, gained: Any, samples: int, budget: float, margin: str) -> Any:
    """`feasible` for integers, or elementwise over integer arrays of one shape."""
    allowed = allowance(budget, samples)
    loss = lost - gained
    if margin == "none":
        return loss <= allowed
    variance = lost + gained - (1.0 * loss) ** 2 / samples
    return loss + np.sqrt(np.maximum(variance, 0)) <= allowed


def ray_steps(base: Margins, direction: ArrayLike) -> Steps:
    """Counts with ``scale * direction`` (N,) added to the target logits, for every scale > 0.

    With several targets all their logits get the same addition.
    """
    gap, speed = base.gap, np.asarray(direction, dtype=np.float64)
    inside = gap < 0
    tied = np.flatnonzero(gap == 0)
    inside[tied] = (speed[tied] > 0) | ((speed[tied] == 0) & base.was_in[tied])
    matters = base.change.any(0)  # wrong either way: no count changes
    rows = np.flatnonzero((gap * speed > 0) & matters)
    at = gap[rows] / speed[rows]
    order = np.argsort(at)
    at, rows = at[order], rows[order]
    start = base.outside + base.change @ inside.astype(np.int64)
    return stepped(base, at, start, base.change.take(rows, axis=1) * np.where(inside[rows], np.int8(-1), np.int8(1)))


def stepped(base: Margins, at: Floats, start: Counts, change: NDArray[np.int8]) -> Steps:
    """Counts that are ``start`` (3 + P,) at first and take ``change`` (3 + P, K) at ascending scales ``at`` (K,)."""
    path = np.empty((len(start), len(at) + 1), dtype=np.int64)
    path[:, 0], path[:, 1:] = start, change
    hits, correct, lost, *held = np.cumsum(path, axis=1, out=path)
    return Steps(
        low=np.concatenate(([0.0], at)),
        high=np.concatenate((at, [np.inf])),
        hits=hits,
        correct=correct,
        lost=lost,
        gained=correct - np.count_nonzero(base.was_right) + lost,
        usable=np.all(np.stack(held) >= base.least[:, None], axis=0) if held else True,
    )


def shift_steps(base: Margins, allowed: int | None = None) -> tuple[Steps, float]:
    """Counts for every bias on the target logits, of either sign, as a ray and the offset of its origin.

    The bias of an interval is its scale minus the offset: at the origin no sample is predicted a target. With
    ``allowed`` only biases at which at most that many samples are lost on balance are told apart; those are few.
    """
    offset = max(0.0, -float(base.gap.min())) + 1.0
    low, high = (-np.inf, np.inf) if allowed is None else bounds(base, allowed)
    rows = np.flatnonzero((base.gap >= low) & (base.gap <= high))
    rows = rows[np.any(base.change[:, rows], axis=0)]  # wrong either way: no count changes
    rows = rows[np.argsort(base.gap[rows])]
    start = base.outside + base.change @ (base.gap < low).astype(np.int64)
    return stepped(base, base.gap[rows] + offset, start, base.change.take(rows, axis=1)), offset


def bounds(base: Margins, allowed: int) -> tuple[float, float]:
    """Biases outside of which more than ``allowed`` samples are lost, whatever happens inside.

    Below, too few of the samples that a higher bias puts right have been; above, too many are wrong for all that can
    be right to make up for.
    """
    better, worse = base.gap[base.change[1] > 0], base.gap[base.change[1] < 0]
    required = np.count_nonzero(base.was_right) - allowed
    needed, spare = required - base.outside[1], base.outside[1] + len(better) - required
    low = -np.inf if needed < 1 else np.inf if needed > len(better) else np.partition(better, needed - 1)[needed - 1]
    high = np.inf if spare >= len(worse) else -np.inf if spare < 0 else np.partition(worse, spare)[spare]
    return float(low), float(high)


def best_intervals(
    steps: Steps, samples: int, budgets: Sequence[float], margin: str = "none"
) -> list[tuple[float, int]]:
    """The first interval with the highest TA, then OA, within each OA budget (percentage points) that has one."""
    usable = kept(steps.lost, steps.gained, samples, max(budgets), margin)
    usable &= (steps.high - steps.low > NARROW * steps.low) & steps.usable
    at = np.flatnonzero(usable)  # few of all intervals, in ascending order
    rank = steps.hits[at] * (samples + 1) + steps.correct[at]
    lost, gained = steps.lost[at], steps.gained[at]
    found = []
    for budget in budgets:
        ranked = np.where(kept(lost, gained, samples, budget, margin), rank, -1)
        if ranked.max(initial=-1) >= 0:
            found.append((budget, int(at[ranked.argmax()])))
    return found


def best_above(steps: Steps, hits: int) -> int | None:
    """The first interval with the highest OA, then TA, of those with at least ``hits`` target samples right."""
    at = np.flatnonzero((steps.hits >= hits) & (steps.high - steps.low > NARROW * steps.low) & steps.usable)
    if not len(at):
        return None
    rank = steps.correct[at] * (int(steps.hits.max()) + 1) + steps.hits[at]
    return int(at[rank.argmax()])


def best_interval(steps: Steps, samples: int, budget: float, margin: str = "none") -> int | None:
    """`best_intervals` for one budget, or None if no scale > 0 keeps it."""
    found = best_intervals(steps, samples, [budget], margin)
    return found[0][1] if found else None


def best_scale(steps: Steps, samples: int, budget: float, margin: str = "none") -> float | None:
    """The scale of the `best_interval`, or None if no scale > 0 keeps the budget."""
    interval = best_interval(steps, samples, budget, margin)
    return None if interval is None else steps.scale(interval)
