"""Losses that favour the target classes; each takes a task and hyperparameters and returns a `Loss`."""

from __future__ import annotations

import math
from collections.abc import Mapping
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


def dynamically_weighted_balanced(task: TuningTask, params: Mapping[str, Any]) -> Loss:
    """Mean of ``w^(1-p) * -log p - p(1-p)``, p the probability of the true class (Fernando & Tsokos 2022).

    The weight of its class, w, is ``params["target_weight"]`` for the targets and 1 elsewhere; the paper
    takes it from class frequencies, which say nothing here.
    """
    weight = on_targets(task, params["target_weight"], 1.0)

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        log_p = F.log_softmax(logits, dim=1).gather(1, y[:, None]).squeeze(1)
        p = log_p.exp()
        return (weight[y] ** (1 - p) * -log_p - p * (1 - p)).mean()

    return loss
