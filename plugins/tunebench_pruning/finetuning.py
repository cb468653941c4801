"""CW-P's fine-tuning: class-weighted cross entropy, optionally with pruned weights held at zero."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunebench import TuningTask
from tunebench.training import minibatches, sgd
from tunebench_pruning.masks import linear_parameters, zero_out

Batch = tuple[Tensor, Tensor]


def class_weighted_fine_tune(
    model: nn.Module, task: TuningTask, params: Mapping[str, Any], pruned: Sequence[Tensor] = ()
) -> nn.Module:
    """Fine-tune ``model`` in place with weight ``params["lambda"]`` on the targets and return it.

    ``pruned`` holds masks over `linear_parameters` that stay zero. If the step size makes training diverge,
    the network comes back as it was given: that is a poor trial, not a broken tuner. Random layers draw from
    ``task.seed``; the global generators are left alone.
    """
    before = copy.deepcopy(model)
    weight = torch.ones(task.classes, device=task.device)
    weight[list(task.targets)] = params["lambda"]
    batches: Iterable[Batch] = minibatches(task.x_train, task.y_train, params["steps"], task.seed)
    if pruned:
        batches = held_at_zero(batches, linear_parameters(model), pruned)
    model.requires_grad_(True)
    with torch.random.fork_rng(devices=[task.device] if task.device.type == "cuda" else []):
        torch.manual_seed(task.seed)
        sgd(
            model,
            batches,
            partial(F.cross_entropy, weight=weight),
            params["lr_multiplier"] * task.learning_rate,
        )
    with torch.no_grad():
        finite = model(task.x_train[:256]).isfinite().all()
    return model if finite else before


def held_at_zero(
    batches: Iterable[Batch], parameters: Sequence[Tensor], pruned: Sequence[Tensor]
) -> Iterator[Batch]:
    """Pass ``batches`` on and zero the pruned weights whenever the loop comes back, so after every step."""
    for batch in batches:
        yield batch
        zero_out(parameters, pruned)
