"""Small real tasks: scikit-learn's handwritten digits and networks trained on them in a moment."""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch
from torch import Tensor, nn

from tunebench.datasets import Place, holdout, open_dataset
from tunebench.naming import seed_of
from tunebench.networks.activations import activations
from tunebench.networks.losses import CrossEntropy
from tunebench.networks.models import mlp
from tunebench.networks.training import minibatches, sgd
from tunebench.testing.observe import undone
from tunebench.tuner import TuningTask

KINDS = {
    "digits": "ten digits, the weakest one is the target",
    "two-classes": "even and odd digits",
    "47-classes": "every digit cut into five by how much ink it has, the last three classes left out",
    "never-predicted": "the network has not seen the target, so it never predicts it",
    "perfect-model": "only samples that the network has right",
    "two-targets": "the two weakest digits",
}
WIDTHS = (32, 16)
STEPS = 300
LEARNING_RATE = 0.05


def small_task(kind: str = "digits", device: str | torch.device = "cpu") -> TuningTask:
    """A task of one of the `KINDS`: about 800 training and 400 validation samples, 48 hidden units.

    Built once per process in well under a second; every call returns a copy of its own.
    """
    task = copy.deepcopy(_built(kind))
    if str(device) == "cpu":
        return task
    moved = {name: value.to(device) for name, value in vars(task).items() if isinstance(value, Tensor | nn.Module)}
    return TuningTask(**{**vars(task), **moved, "device": torch.device(device)})


@functools.cache
def _built(kind: str) -> TuningTask:
    data = open_dataset("digits", Place(None)).train()
    x, y = data.x, relabelled(data.x, data.y, kind)
    x, y = x[y >= 0], y[y >= 0]
    classes = int(y.max()) + 1
    rows, held = holdout(y, seed=0)
    hidden_class = 3 if kind == "never-predicted" else None
    seen = rows if hidden_class is None else rows[y[rows] != hidden_class]
    with undone(seed_of("initialisation", kind)):
        model = mlp(WIDTHS, tuple(x.shape[1:]), classes)
        sgd(model, minibatches(x[seen], y[seen], STEPS, seed_of("order", kind)), CrossEntropy(), LEARNING_RATE)
    if kind == "perfect-model":
        right = activations(model, x).logits.argmax(1) == y
        rows, held = rows[right[rows]], held[right[held]]
    train, valid = activations(model, x[rows]), activations(model, x[held])
    weakest = by_weakness(valid.logits, y[held], classes)
    targets = weakest[:2] if kind == "two-targets" else weakest[:1] if hidden_class is None else [hidden_class]
    return TuningTask(
        model=model,
        targets=tuple(targets),
        target=targets[0],
        classes=classes,
        x_train=x[rows],
        y_train=y[rows],
        x_valid=x[held],
        y_valid=y[held],
        hidden_train=train.hidden,
        hidden_valid=valid.hidden,
        logits_train=train.logits,
        logits_valid=valid.logits,
        layer_of=train.layer_of,
        seed=seed_of("task", kind),
        device=torch.device("cpu"),
        learning_rate=LEARNING_RATE,
    )


def relabelled(x: Tensor, y: Tensor, kind: str) -> Tensor:
    """Class numbers (N,) int64 of digits y (N,) for a kind of task; -1 for samples that are left out."""
    if kind == "two-classes":
        return y % 2
    if kind != "47-classes":
        return y
    ink = x.flatten(1).sum(1).numpy()
    fine = np.zeros(len(y), dtype=np.int64)
    for digit in range(10):
        mine = (y == digit).numpy()
        edges = np.quantile(ink[mine], (0.2, 0.4, 0.6, 0.8))
        fine[mine] = 5 * digit + np.searchsorted(edges, ink[mine])
    return torch.from_numpy(np.where(fine < 47, fine, -1))


def by_weakness(logits: Tensor, labels: Tensor, classes: int) -> list[int]:
    """Classes with validation samples, lowest accuracy first; logits (M, C), labels (M,)."""
    total = torch.bincount(labels, minlength=classes)
    right = torch.bincount(labels[logits.argmax(1) == labels], minlength=classes)
    accuracy = torch.where(total > 0, right / total.clamp(min=1), 2.0)
    return [int(c) for c in accuracy.argsort(stable=True) if total[c] > 0]
