"""What a task gives the evaluation: its tables for one target or several, and the neurons that may get a synapse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from tunebench import TuningTask


class Tables(NamedTuple):
    """Samples as the evaluation takes them."""

    hidden: Tensor
    """(N, H)."""
    logits: Tensor
    """(N, C)."""
    labels: Tensor
    """(N,) int64."""
    target: int


def tables_of(task: TuningTask) -> Tables:
    """The training tables; several targets become one class, the last, whose logit is the largest of theirs.

    A synapse adds the same to all targets, so that it moves a sample to the target that is ahead already. Samples of a
    target for which that is another one stay wrong whatever is added, and are left out.
    """
    hidden, logits, labels = task.hidden_train, task.logits_train, task.y_train
    if len(task.targets) == 1:
        return Tables(hidden, logits, labels, task.target)
    mine = labels.new_tensor(task.targets)
    others = labels.new_tensor([c for c in range(task.classes) if c not in task.targets])
    best, ahead = logits[:, mine].max(1)
    number = labels.new_full((task.classes,), len(others))
    number[others] = torch.arange(len(others), device=labels.device)
    kept = ~torch.isin(labels, mine) | (mine[ahead] == labels)
    merged = torch.cat([logits[:, others], best[:, None]], 1)
    return Tables(hidden[kept], merged[kept], number[labels[kept]], len(others))


def affordable(task: TuningTask, neurons: Iterable[int]) -> list[int]:
    """Of ``neurons``, in their order, those that ``max_new_params`` has room for.

    A synapse from the last hidden layer edits a weight that is there; any other is new, one for every target.
    """
    neurons = list(neurons)
    if task.max_new_params is None or not neurons:
        return neurons
    last = task.layer_of == task.layer_of.max()
    room, found = task.max_new_params // len(task.targets), []
    for neuron in neurons:
        if not bool(last[neuron]):
            if not room:
                continue
            room -= 1
        found.append(neuron)
    return found
