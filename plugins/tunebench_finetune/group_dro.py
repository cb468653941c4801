"""Group DRO: the loss of the classes that are worst off weighs most (Sagawa et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tunebench import TuningTask
from tunebench.training import Loss
from tunebench_finetune.losses import toward_labels


def group_robust(task: TuningTask, params: Mapping[str, Any]) -> Loss:
    """`GroupRobust` over the classes, with the step ``params["eta"]`` of their weights."""
    return GroupRobust(torch.zeros(task.classes, device=task.device), params["eta"])


class GroupRobust:
    """Sum over the classes of ``q_c`` times the mean cross entropy of class c in the batch.

    At every batch, before its loss is taken, ``q_c`` is multiplied by ``exp(eta * loss_c)`` and all are normalised
    (algorithm 1 of the paper). A class that a batch lacks has loss 0 there. The paper's groups are given; here they are
    the classes, so that a target is favoured as far as it is weak and not by name.
    """

    def __init__(self, log_q: Tensor, eta: float) -> None:
        """``log_q`` (C,): logarithms of the weights at the start, up to a constant."""
        self.log_q, self.eta = log_q, eta

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar; moves the weights."""
        losses = F.cross_entropy(logits, labels, reduction="none")
        return (self._weights(losses.detach(), labels) * losses).sum()

    def gradient(self, logits: Tensor, labels: Tensor) -> Tensor:
        """dL / dlogits (B, C), the weights being constants; moves them."""
        log_p = torch.log_softmax(logits, 1)
        losses = -log_p.gather(1, labels[:, None]).squeeze(1)
        return toward_labels(log_p, labels, -self._weights(losses, labels)[:, None])

    def _weights(self, losses: Tensor, labels: Tensor) -> Tensor:
        """Weights of a batch's samples (B,), after the step that its ``losses`` (B,) make."""
        members = F.one_hot(labels, len(self.log_q)).to(losses.dtype)
        counts = members.sum(0).clamp_(min=1)
        means = losses @ members / counts  # a product adds in the same order every time, on any device
        self.log_q = torch.log_softmax(self.log_q + self.eta * means, 0)
        return (self.log_q.exp() / counts)[labels]
