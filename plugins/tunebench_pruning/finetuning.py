"""CW-P's fine-tuning: class-weighted cross entropy, optionally with pruned weights held at zero."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tunebench import TuningTask
from tunebench.training import CrossEntropy, fine_tune, limited, minibatches
from tunebench_pruning.masks import linear_parameters, zero_out

Batch = tuple[Tensor, Tensor]


def class_weighted_fine_tune(
    model: nn.Module, task: TuningTask, params: Mapping[str, Any], pruned: Sequence[Tensor] | None = None
) -> None:
    """Fine-tune ``model`` in place with weight ``params["lambda"]`` on the targets.

    ``pruned`` holds masks over `linear_parameters` of entries that stay zero.
    """
    weight = torch.ones(task.classes, device=task.device)
    weight[list(task.targets)] = params["lambda"]
    batches: Iterable[Batch] = minibatches(task.x_train, task.y_train, limited(params["steps"], task), task.seed)
    if pruned is not None:
        batches = held_at_zero(batches, linear_parameters(model), pruned)
    fine_tune(model, batches, CrossEntropy(weight), params["lr_multiplier"] * task.learning_rate, task.seed)


def held_at_zero(batches: Iterable[Batch], parameters: Sequence[Tensor], pruned: Sequence[Tensor]) -> Iterator[Batch]:
    """Pass ``batches`` on and zero the pruned entries whenever the loop comes back, so after every step."""
    for batch in batches:
        yield batch
        zero_out(parameters, pruned)
