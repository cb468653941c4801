"""What the benchmarks share: one network trained on MNIST, two things timed in turn, and a line of the table."""

from __future__ import annotations

import functools
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tunebench.datasets import Place, open_dataset
from tunebench.networks.activations import activations
from tunebench.networks.models import PAPER_WIDTHS, mlp
from tunebench.networks.training import minibatches, sgd
from tunebench.tuner import TuningTask

TARGET = 5
VALID = 10_000


@functools.cache
def inputs() -> tuple[Tensor, Tensor, str]:
    """MNIST's 60,000 training images, normalised, or a mixture of Gaussians of the same size; and which it is."""
    root = os.environ.get("TUNEBENCH_DATA")
    if root and (Path(root) / "MNIST").is_dir():
        data = open_dataset("mnist", Place(Path(root))).train()
        return data.x.flatten(1), data.y, "MNIST"
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(10, (60_000,), generator=generator)
    centres = torch.randn(10, 784, generator=generator)
    return 0.15 * centres[y] + torch.randn(60_000, 784, generator=generator), y, "Gaussian mixture"


@functools.cache
def trained(name: str = "model1") -> torch.nn.Sequential:
    """The paper's ``name`` after 3,000 steps on `inputs`."""
    x, y, _ = inputs()
    torch.manual_seed(0)
    model = mlp(PAPER_WIDTHS[name], (784,), 10).eval()
    sgd(model, minibatches(x, y, 3000, seed=0), F.cross_entropy, 0.01)
    return model


@functools.cache
def table() -> tuple[Tensor, Tensor, Tensor, str]:
    """hidden (60000, 164) and logits (60000, 10) float32 of model 1, labels, and where they come from."""
    x, y, source = inputs()
    found = activations(trained(), x)
    return found.hidden, found.logits, y, source


def task_of(name: str = "model1") -> TuningTask:
    """A task on `inputs`: 50,000 training and 10,000 validation samples."""
    x, y, _ = inputs()
    model = trained(name)
    seen = activations(model, x)
    fit, held = slice(0, len(y) - VALID), slice(len(y) - VALID, None)
    return TuningTask(
        model=model,
        targets=(TARGET,),
        target=TARGET,
        classes=10,
        x_train=x[fit],
        y_train=y[fit],
        x_valid=x[held],
        y_valid=y[held],
        hidden_train=seen.hidden[fit],
        hidden_valid=seen.hidden[held],
        logits_train=seen.logits[fit],
        logits_valid=seen.logits[held],
        layer_of=seen.layer_of,
        seed=1,
        device=torch.device("cpu"),
        learning_rate=0.01,
    )


def alternate(
    ours: Callable[[], object],
    reference: Callable[[], object],
    rounds: int = 21,
    clock: Callable[[], float] = time.thread_time,
) -> float:
    """Median over rounds of the ratio of the two times, called in turn: load on the machine hits both."""
    ours(), reference()
    ratios = []
    for _ in range(rounds):
        start = clock()
        reference()
        middle = clock()
        ours()
        ratios.append((clock() - middle) / (middle - start))
    return statistics.median(ratios)


def note(benchmark, what: str, against: str, ratio: float, limit: float, target: float | None = None) -> None:
    """Record a line of the table in docs/performance.md, which `performance_table.py` writes.

    ``limit`` is the guard that a benchmark fails at, ``target`` what is wanted where that is less.
    """
    benchmark.extra_info.update(what=what, against=against, ratio=ratio, target=target, limit=limit)
