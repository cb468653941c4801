"""Every multiple of an edit: what it adds to the logits, and the exact counts at each scale.

Where the targets' logits alone move, and all alike, `tunebench.selection.tradeoff` has them from sorted gaps. Here is
the rule for any edit. N is the number of samples, C of classes, H of hidden units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from tunebench.selection import tradeoff
from tunebench.tuner import LogitEdit, TuningTask


def ray_direction(edit: LogitEdit, task: TuningTask, columns: Tensor) -> Tensor:
    """What ``edit`` adds per unit of scale; ``columns`` is hidden.T, (H, N).

    (N,) float64 where it is the same for all targets and nothing else changes; otherwise to every logit, (N, C).
    """
    mine = list(task.targets)
    elsewhere = edit.weight.new_ones(task.classes).index_fill(0, task.y_valid.new_tensor(mine), 0).bool()
    alike = bool((edit.weight[mine] == edit.weight[mine[0]]).all() and (edit.bias[mine] == edit.bias[mine[0]]).all())
    if not alike or bool(edit.weight[elsewhere].any() or edit.bias[elsewhere].any()):
        units = edit.weight.ne(0).any(0).nonzero()[:, 0]
        return columns[units].double().t() @ edit.weight[:, units].double().t() + edit.bias.double()
    row = edit.weight[task.target].double()
    units = row.nonzero()[:, 0]
    return row[units] @ columns[units].double() + edit.bias[task.target].double()


def steps_along(base: tradeoff.Margins, direction: tradeoff.Floats, logits: Tensor, labels: Tensor) -> tradeoff.Steps:
    """Counts for every multiple of a `ray_direction` added to logits (N, C), whose margins are ``base``."""
    if direction.ndim == 1:
        return tradeoff.ray_steps(base, direction)
    return spread_steps(base, direction, logits, labels)


def spread_steps(base: tradeoff.Margins, direction: ArrayLike, logits: Tensor, labels: Tensor) -> tradeoff.Steps:
    """Counts with ``scale * direction`` (N, C) added to logits (N, C), for every scale > 0; any logit may move.

    Each sample is right on one interval of scales: every other class bounds it on one side.
    """
    speed, own = np.asarray(direction, dtype=np.float64), labels.cpu().numpy()[:, None]
    height = logits.double().cpu().numpy()
    ahead = np.take_along_axis(height, own, 1) - height  # of the label over each class
    gaining = np.take_along_axis(speed, own, 1) - speed
    with np.errstate(divide="ignore", invalid="ignore"):
        at = -ahead / gaining
    never = (gaining == 0) & ((ahead < 0) | ((ahead == 0) & (np.arange(height.shape[1]) < own)))
    low = np.where(gaining > 0, at, 0.0).max(1).clip(min=0.0)
    high = np.where(gaining < 0, at, np.inf).min(1)
    right = (low < high) & ~never.any(1)
    begins, ends = np.flatnonzero(right & (low > 0)), np.flatnonzero(right & np.isfinite(high))
    start = tradeoff.nothing_right(base.gains) + base.gains @ (right & (low == 0)).astype(np.int64)
    edges = np.concatenate([low[begins], high[ends]])
    change = np.concatenate([base.gains[:, begins], -base.gains[:, ends]], axis=1)
    order = np.argsort(edges)
    return tradeoff.stepped(base, edges[order], start, change[:, order])
