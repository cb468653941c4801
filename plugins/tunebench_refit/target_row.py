"""What feeds the target's logit refitted on frozen units, all of them or a few chosen greedily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from optuna.distributions import BaseDistribution, IntDistribution
from torch import Tensor

from tunebench import LogitEdit, TuningTask
from tunebench_refit.family import UnitRefit, of_targets
from tunebench_refit.softmax import Ridge, minimise
from tunebench_refit.units import Units

MOST = IntDistribution(1, 16)
"""Units that `RefitSparse` may join to the target."""


class Refit(UnitRefit):
    """Refits the target's row alone on all hidden units, convex: its margin over the best other class."""

    name = "refit"
    scalable = True

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Units) -> LogitEdit:
        """What the refitted rows add to the targets' logits."""
        loss = against_the_rest(task, prepared.design, params["lambda"], params["l2"])
        return prepared.edit(task, task.targets, minimise(loss))


class RefitSparse(Refit):
    """Refits the target's bias and at most n of its synapses, chosen one by one where the loss falls fastest."""

    name = "refit-sparse"

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Number of units, weight of the targets, and the ridge."""
        return {"n": MOST, **super().search_space()}

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Units) -> LogitEdit:
        """The edit; with several targets each of the n units joins all of them."""
        loss = against_the_rest(task, prepared.design, params["lambda"], params["l2"])
        return prepared.edit(task, task.targets, greedy(loss, params["n"]))


def against_the_rest(task: TuningTask, design: Tensor, weight: float, l2: float) -> Ridge:
    """A softmax over the targets and the best logit of any other class.

    For a single target it is logistic regression of ``y == target`` on its margin. Samples of other classes that the
    original has wrong have no weight, since flipping them costs no accuracy; those of a target have ``weight``.
    """
    targets = task.y_train.new_tensor(task.targets)
    rest = task.logits_train.index_fill(1, targets, -torch.inf).amax(1, keepdim=True)
    mine = of_targets(task.y_train, task)
    right = task.logits_train.argmax(1) == task.y_train
    weights = torch.where(mine, weight, right.to(design.dtype))
    labels = torch.where(mine, 1 + (task.y_train[:, None] == targets).int().argmax(1), 0)
    logits = torch.cat([rest, task.logits_train[:, targets]], 1)
    return Ridge(design, logits, labels, weights / weights.sum(), l2, len(targets))


def greedy(loss: Ridge, most: int) -> Tensor:
    """Coefficients (R, D) of the least loss with at most ``most`` columns beside the constant (orthogonal matching)."""
    taken: list[int] = []
    found = refitted_on(loss, taken)
    for _ in range(min(most, loss.design.shape[1] - 1)):
        promise = promises(loss, found, taken)
        best = int(promise.argmax())
        if not promise[best] > 0:
            break
        taken.append(best)
        found = refitted_on(loss, taken)
    return found


def promises(loss: Ridge, found: Tensor, taken: Sequence[int]) -> Tensor:
    """Twice the fall of the loss that a Newton step promises if a column joins those ``taken``, (D,); 0 for these.

    The squared gradient over the curvature that is left once the columns taken and the constant follow (Schur's
    complement), row by row; ``found`` is the optimum without it, where their own gradient vanishes.
    """
    some = [*taken, loss.design.shape[1] - 1]
    point = loss.at(found)
    squares, promise = loss.design.square(), torch.zeros_like(loss.penalty)
    for chances, gradient in zip(point.chances.t(), point.gradient, strict=True):
        bend = chances * (1 - chances) * loss.weight
        own = (bend @ squares).double() + loss.penalty
        cross = ((loss.design[:, some] * bend[:, None]).t() @ loss.design).double()
        within = cross[:, some] + torch.diag(loss.penalty[some] + 1e-9 + 1e-6 * own[some])
        left = own - (cross * torch.linalg.solve(within, cross)).sum(0)
        promise += gradient.square() / left.maximum(1e-3 * own).clamp(min=1e-12)
    promise[some] = 0
    return promise


def refitted_on(loss: Ridge, columns: Sequence[int]) -> Tensor:
    """Coefficients (R, D) of the least loss with no columns but ``columns`` and the constant."""
    some = [*columns, loss.design.shape[1] - 1]
    found = loss.origin
    found[:, some] = minimise(replace(loss, design=loss.design[:, some]))
    return found
