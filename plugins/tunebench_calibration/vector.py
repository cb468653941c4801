"""A constant on every logit: plug-in rules after Narasimhan et al. 2022, fitted on the training logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tunebench import LogitEdit, Tuner, TuningTask
from tunebench_calibration.bias import HONOURED

Rays = list[tuple[dict[str, Any], LogitEdit]]
WEIGHTS = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
"""Weights of the targets, all of them tried; where every other class has 1."""
RIDGE = 1e-4
"""Half of the squared length of the vector costs this much: samples that are all certain would send it to infinity."""
STEPS, CLOSE = 30, 1e-6
SMALLEST = 1e-12
ROUNDS, LEVEL, STRIDE = 300, 1e-5, 1.0
"""Limits of levelling: rounds, spread of the recalls that is level, and the largest change of a constant in a round."""


class LogitVector(Tuner):
    """Adds a constant to every logit, fitted by cross entropy with a weight on the targets; the host solves its size.

    For calibrated probabilities the best rule for TA at a given OA moves the target's logit alone; the C - 1 constants
    mend what is not calibrated, one class against another.
    """

    name = "logit-vector"
    scalable = True
    honours = HONOURED

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Any) -> LogitEdit:
        """The vector for the weight ``params["lambda"]``, 1 without."""
        weight = task.logits_train.new_ones(task.classes, dtype=torch.float64)
        weight[list(task.targets)] = params.get("lambda", 1.0)
        return biased(task, fitted(task.logits_train.double(), task.y_train, weight))

    def rays(self, task: TuningTask, prepared: Any) -> Rays:
        """One vector for each of `WEIGHTS`."""
        return [({"lambda": weight}, self.tune(task, {"lambda": weight}, prepared)) for weight in WEIGHTS]


class MaxMinRecall(Tuner):
    """Adds constants that make all classes' expected recalls on the training data equal; the host solves their size.

    The worst class is the one to raise, whichever it is (after Narasimhan et al. 2022, max-min; see `levelled`).
    """

    name = "max-min-recall"
    scalable = True
    honours = HONOURED

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Any) -> LogitEdit:
        """The vector that levels the recalls."""
        return biased(task, levelled(task.logits_train.double(), task.y_train))

    def rays(self, task: TuningTask, prepared: Any) -> Rays:
        """The single one."""
        return [({}, self.tune(task, {}, prepared))]


def biased(task: TuningTask, vector: Tensor) -> LogitEdit:
    """The edit that adds ``vector`` (C,) to the logits, less its mean, which decides nothing."""
    nothing = LogitEdit.of_target(task)
    return LogitEdit(nothing.weight, (vector - vector.mean()).to(nothing.bias))


def fitted(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """The constants (C,) of least weighted cross entropy, by Newton's method; logits (N, C) and weight (C,) float64.

    Sample k counts ``weight[labels[k]]``; the weights of all samples add up to 1, and `RIDGE` keeps the vector finite.
    """
    share = weight[labels] / weight[labels].sum()
    wanted = torch.zeros_like(weight).index_add_(0, labels, share)
    vector = torch.zeros_like(weight)

    def cost(at: Tensor) -> float:
        log_p = (logits + at).log_softmax(1).gather(1, labels[:, None])[:, 0]
        return float(RIDGE / 2 * at @ at - share @ log_p)

    now = cost(vector)
    for _ in range(STEPS):
        p = (logits + vector).softmax(1)
        slope = share @ p - wanted + RIDGE * vector
        curve = torch.diag(share @ p + RIDGE) - p.t() @ (p * share[:, None])
        step = torch.linalg.solve(curve, slope)
        while (then := cost(vector - step)) > now and float(step.abs().max()) > CLOSE:
            step = step / 2
        if float(step.abs().max()) <= CLOSE:
            break
        vector, now = vector - step, then
    return vector


def levelled(logits: Tensor, labels: Tensor) -> Tensor:
    """The constants (C,) under which all classes have the same expected recall: the mean probability of the truth.

    Every round moves a class's constant by half of what its recall lacks of the mean, over the slope of its recall,
    the mean of p (1 - p): a step of one size moves nothing where a network is sure. A class without a sample keeps 0.
    """
    count = torch.bincount(labels, minlength=logits.shape[1]).to(logits)
    present = count > 0
    vector = logits.new_zeros(logits.shape[1])
    for _ in range(ROUNDS):
        p = (logits + vector).softmax(1).gather(1, labels[:, None])[:, 0]
        recall = torch.zeros_like(vector).index_add_(0, labels, p) / count.clamp(min=1)
        if float(recall[present].max() - recall[present].min()) <= LEVEL:
            break
        slope = torch.zeros_like(vector).index_add_(0, labels, p * (1 - p)) / count.clamp(min=1)
        step = (recall[present].mean() - recall) / (2 * slope.clamp(min=SMALLEST))
        vector = torch.where(present, vector + step.clamp(-STRIDE, STRIDE), vector)
    return vector
