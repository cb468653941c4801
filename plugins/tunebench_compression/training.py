"""The little training that follows a compression, and what it is measured by."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunebench import CompressionTask
from tunebench.training import CrossEntropy, Loss, Optimiser, fine_tune, minibatches

LEARNING_RATE = 2e-3
"""The largest of AdamW's one-cycle schedule, whatever the recipe of the original."""
FROM_SCRATCH = 1e-2
"""The same for a network of new weights."""
TEMPERATURE, ALPHA = 4.0, 0.9
"""Of distillation: what logits are divided by, and the weight of what the teacher says beside the labels."""


def recover(model: nn.Module, task: CompressionTask, loss: Loss | None = None, share: float = 1.0) -> nn.Module:
    """Train ``model`` in place for ``share`` of the task's steps; returns it in eval mode."""
    steps = max(1, round(share * task.steps))
    return run(model, minibatches(task.x, task.y, steps, task.seed), loss or CrossEntropy(), steps, task.seed)


def run(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    steps: int,
    seed: int,
    lr: float = LEARNING_RATE,
) -> nn.Module:
    """Train ``model`` in place by AdamW and one cycle; returns it in eval mode."""
    fine_tune(model, batches, loss, Optimiser(lr, "adamw", "one-cycle", steps, weight_decay=1e-4), seed)
    return model.eval()


def lessons(task: CompressionTask) -> Loss:
    """What ``task.model`` says of every sample and the labels, as a loss of logits and numbers of samples (B,)."""
    with torch.no_grad():
        said = torch.cat([task.model(x) for x in task.x.split(512)])

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        hard = F.cross_entropy(logits, task.y[rows])
        return (1 - ALPHA) * hard + ALPHA * softened(logits, said[rows], TEMPERATURE)

    return loss


def taught(student: nn.Module, task: CompressionTask, loss: Loss, shares: float) -> nn.Module:
    """Train ``student``, which is new, by `lessons`, for so many times the task's steps; returns it in eval mode."""
    steps = max(1, round(shares * task.steps))
    rows = torch.arange(len(task.y), device=task.y.device)
    return run(student, minibatches(task.x, rows, steps, task.seed), loss, steps, task.seed, lr=FROM_SCRATCH)


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
