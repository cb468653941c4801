"""The little training that follows a compression, and what it is measured by."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunebench import CompressionTask
from tunebench.training import CrossEntropy, Loss, Optimiser, fine_tune, minibatches

LEARNING_RATE = 2e-3
"""The largest of AdamW's one-cycle schedule, whatever the recipe of the original."""


def recover(model: nn.Module, task: CompressionTask, loss: Loss | None = None, share: float = 1.0) -> nn.Module:
    """Train ``model`` in place for ``share`` of the task's steps; returns it in eval mode."""
    steps = max(1, round(share * task.steps))
    batches = minibatches(task.x, task.y, steps, task.seed)
    optimiser = Optimiser(LEARNING_RATE, "adamw", "one-cycle", steps, weight_decay=1e-4)
    fine_tune(model, batches, loss or CrossEntropy(), optimiser, task.seed)
    return model.eval()


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of x (N, *shape) that ``model`` classifies as y (N,)."""
    model.eval()
    with torch.no_grad():
        return sum(int((model(a).argmax(1) == b).sum()) for a, b in zip(x.split(512), y.split(512), strict=True)) / len(
            y
        )


def softened(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Cross entropy of the student's probabilities with the teacher's, both (N, C) logits, at a temperature.

    Multiplied by its square, so that gradients keep their size (Hinton et al. 2015).
    """
    wanted = F.softmax(teacher / temperature, dim=1)
    return -(wanted * F.log_softmax(student / temperature, dim=1)).sum(1).mean() * temperature**2
