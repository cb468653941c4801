"""The mean of several networks of one architecture, as soups and averages of a training's stages need it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from tunebench.networks.sites import first_float
from tunebench.networks.training import minibatches
from tunebench.tuner import TuningTask

STATISTICS = 50
"""Batches that normalisation is measured on."""


def average(models: Sequence[nn.Module], task: TuningTask) -> nn.Module:
    """A network with the mean of all weights (Wortsman et al. 2022); its normalisation is measured anew.

    ``models`` have one architecture; none is changed. Of numbers that are no weights, such as counters, it has the
    first one's. Running statistics are those of up to `STATISTICS` batches of the task's training samples.
    """
    mixed = copy.deepcopy(models[0])
    if len(models) == 1:
        return mixed
    states = [model.state_dict() for model in models]
    mean = {
        name: sum(state[name] / len(states) for state in states) if value.is_floating_point() else value
        for name, value in states[0].items()
    }
    mixed.load_state_dict(mean)
    measure(mixed, task)
    return mixed


def measure(model: nn.Module, task: TuningTask) -> None:
    """Set the running statistics of normalisation, where there are any, to those of training samples."""
    if not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules()):
        return
    like, steps = first_float(model), min(STATISTICS, max(1, len(task.y_train) // 64))
    batches = minibatches(task.x_train, task.y_train, steps, task.seed)
    devices = [task.device] if task.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(task.seed)
        update_bn((x if like is None else x.to(like.dtype) for x, _ in batches), model)
