"""Small trained networks for the digits, and what compressions make of them; each is made once."""

from __future__ import annotations

import dataclasses
import functools

import torch
from digits import digits_task
from torch import nn

from tunebench import TuningTask
from tunebench.datasets import Samples
from tunebench.networks.activations import activations
from tunebench.networks.compressed import compress, network_of
from tunebench.networks.losses import CrossEntropy
from tunebench.networks.spec import ModelSpec
from tunebench.networks.training import Optimiser, fine_tune, minibatches
from tunebench.plugins import Registry, load_registry


@functools.cache
def registry() -> Registry:
    """All that is installed."""
    return load_registry()


def samples() -> Samples:
    """What the networks are trained on."""
    task = digits_task()
    return Samples(task.x_train, task.y_train)


@functools.cache
def small_cnn() -> nn.Sequential:
    """Two convolutions, a batch norm and two Linear layers, trained for a few epochs."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2), nn.ReLU(),
            nn.Flatten(), nn.Linear(108, 32), nn.ReLU(), nn.Linear(32, 10),
        )  # fmt: skip
    x, y = samples().x, samples().y
    optimiser = Optimiser(5e-3, "adamw", "one-cycle", 150)
    fine_tune(model, minibatches(x, y, 150, seed=0), CrossEntropy(), optimiser, seed=0)
    return model.eval()


def parent(kind: str) -> nn.Module:
    """The network that is compressed: ``mlp`` or ``cnn``."""
    return digits_task().model if kind == "mlp" else small_cnn()


def spec_of(written: str) -> ModelSpec:
    """How a network is made that ends with ``written``; the name in front says nothing here."""
    return network_of(f"mlp:32-16+{written}", registry())


@functools.cache
def pressed(kind: str, written: str) -> tuple[nn.Module, list[str]]:
    """The network compressed as ``written``, by one compression, and what the user is told."""
    made = spec_of(written).made
    assert made is not None
    return compress(made, parent(kind), samples(), 10, seed=3)


def task_of(model: nn.Module, **changes: object) -> TuningTask:
    """The task of raising digit 8 on ``model``."""
    task = digits_task()
    train, valid = activations(model, task.x_train), activations(model, task.x_valid)
    return dataclasses.replace(
        task,
        model=model,
        hidden_train=train.hidden,
        hidden_valid=valid.hidden,
        logits_train=train.logits,
        logits_valid=valid.logits,
        layer_of=train.layer_of,
        **changes,
    )


def accuracy(model: nn.Module) -> float:
    """On the samples that no training has seen."""
    task = digits_task()
    with torch.no_grad():
        return float((model(task.x_valid).argmax(1) == task.y_valid).double().mean())
