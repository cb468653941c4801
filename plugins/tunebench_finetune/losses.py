"""Losses that favour the target classes; each takes a task and hyperparameters and returns a `Loss`.

Losses have gradients written by hand where plain stacks would otherwise take a third of a step for autograd.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tunebench import TuningTask
from tunebench.training import CrossEntropy, Loss

RARITY = 10.0
"""How many times rarer than any other class the pseudo-prior of `logit_adjusted` takes a target to be."""


def on_targets(task: TuningTask, value: float, elsewhere: float) -> Tensor:
    """A (C,) float32 tensor of ``elsewhere`` with ``value`` at the targets."""
    values = torch.full((task.classes,), elsewhere, device=task.device)
    values[list(task.targets)] = value
    return values


def original_loss(task: TuningTask, params: Mapping[str, Any]) -> Loss:
    """Cross entropy, as in the training of the originals."""
    return CrossEntropy()


def class_weighted(task: TuningTask, params: Mapping[str, Any]) -> Loss:
    """Cross entropy with weight ``params["lambda"]`` on the targets and 1 elsewhere, as a weighted mean."""
    return CrossEntropy(weight=on_targets(task, params["lambda"], 1.0))


def logit_adjusted(task: TuningTask, params: Mapping[str, Any]) -> Loss:
    """Cross entropy of ``logits + tau * log(prior)`` (Menon et al. 2021, the logit-adjusted loss).

    The pseudo-prior is uniform but for the targets, which it makes `RARITY` times rarer, whatever the data:
    so the network learns to raise the targets' own logits. Its normalisation cancels in the softmax.
    """
    return CrossEntropy(offset=on_targets(task, -params["tau"] * math.log(RARITY), 0.0))


def vector_scaled(task: TuningTask, params: Mapping[str, Any]) -> Loss:
    """`VectorScaling` with ``delta`` and ``iota`` of the targets; 1 and 0 elsewhere."""
    inner = CrossEntropy(offset=on_targets(task, params["iota"], 0.0))
    return VectorScaling(on_targets(task, params["delta"], 1.0), inner)


@dataclass(frozen=True, eq=False)
class VectorScaling:
    """Cross entropy of ``delta * logits + iota`` (Kini et al. 2021); ``iota`` is the offset of ``inner``.

    The paper takes delta and iota from class frequencies, which say nothing here.
    """

    delta: Tensor
    """Factor of every class's logit, (C,)."""
    inner: CrossEntropy

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar."""
        return self.inner(logits * self.delta, labels)

    def gradient(self, logits: Tensor, labels: Tensor) -> Tensor:
        """dL / dlogits (B, C)."""
        return self.inner.gradient(logits * self.delta, labels) * self.delta


def dynamically_weighted_balanced(task: TuningTask, params: Mapping[str, Any]) -> Loss:
    """`DynamicallyWeighted` with ``params["target_weight"]`` for the targets and 1 elsewhere."""
    return DynamicallyWeighted(on_targets(task, params["target_weight"], 1.0))


@dataclass(frozen=True, eq=False)
class DynamicallyWeighted:
    """Mean of ``w^(1-p) * -log p - p(1-p)``, p the probability of the true class (Fernando & Tsokos 2022).

    ``weight`` (C,) has w of every class; the paper takes it from class frequencies, which say nothing here.
    """

    weight: Tensor

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar."""
        log_p = F.log_softmax(logits, dim=1).gather(1, labels[:, None]).squeeze(1)
        p = log_p.exp()
        return (self.weight[labels] ** (1 - p) * -log_p - p * (1 - p)).mean()

    def gradient(self, logits: Tensor, labels: Tensor) -> Tensor:
        """dL / dlogits (B, C): p dl/dp per sample, times that of log p at the logits, one-hot minus softmax."""
        log_all = torch.log_softmax(logits, 1)
        log_p = log_all.gather(1, labels[:, None])
        p, weight = log_p.exp(), self.weight[labels, None]
        pull = weight ** (1 - p) * (p * log_p * weight.log() - 1) - p * (1 - 2 * p)
        return toward_labels(log_all, labels, pull / len(labels))


def toward_labels(log_p: Tensor, labels: Tensor, pull: Tensor) -> Tensor:
    """``pull`` (B, 1) times one-hot minus softmax (B, C), from log probabilities (B, C), which it may overwrite."""
    return (log_p.exp_() * -pull).scatter_add_(1, labels[:, None], pull)
