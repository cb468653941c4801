"""Architecture search: a new network of blocks, found under a limit of operations and taught by the original."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import optuna
from torch import Tensor, nn

from tunebench import Compression, CompressionTask, Inapplicable
from tunebench.compression import share
from tunebench.training import Loss
from tunebench_compression.training import accuracy, lessons, taught

PROPOSALS, TRAINED, SAMPLES = 200, 16, 2000
"""Architectures looked at, those of them that are trained for a while, and training samples that judge them."""
WHILE = 1 / 12
"""Share of the task's steps for each."""
FINALISTS, LONGER = 4, 1 / 3
"""Those of the trained that are trained anew, for longer, because what learns fast is not what learns most."""
STAGES, SMALLEST = 3, 4
"""Stages that halve an image, and its side below which none does."""
KINDS = ("none", "pooled", "strided", "separable")
Gene = tuple[str, int, int]
"""Kind, kernel size and width of a stage or of a dense layer."""


class Nas(Compression):
    """A search over block-wise architectures, by TPE and MnasNet's reward (Tan et al. 2019), then distillation."""

    name = "nas"
    default = "0.5"
    summary = "Share of the FLOPs: another network of blocks, searched below that, learns what the original says."

    def read(self, text: str) -> float:
        """The share of the FLOPs that the network has at most."""
        return share(text)

    def compress(self, task: CompressionTask, value: float) -> nn.Module:
        """The best of a few that were trained for a while, trained anew for twice the steps of other compressions."""
        limit, loss = value * task.flops(task.model), lessons(task)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=task.seed % 2**32))
        scores: dict[tuple[Gene, ...], float] = {}
        for _ in range(PROPOSALS):
            trial = study.ask(space(task))
            genes = genes_of(trial.params)
            flops = task.flops(assembled(genes, task))
            if flops > limit:  # the reward is sharply lower, so that nothing is lost by not training it
                study.tell(trial, limit / flops - 1)
                continue
            if genes not in scores:
                scores[genes] = promise(genes, task, loss, WHILE)
            study.tell(trial, scores[genes])
            if len(scores) == TRAINED:
                break
        if not scores:
            raise Inapplicable(f"no network of the search space has as little as {value:g} of the FLOPs")
        finalists = sorted(scores, key=lambda genes: scores[genes], reverse=True)[:FINALISTS]
        best = max(finalists, key=lambda genes: promise(genes, task, loss, LONGER))
        return taught(assembled(best, task), task, loss, 2.0)

    def rebuild(self, task: CompressionTask, value: float, state: Mapping[str, Tensor]) -> nn.Module:
        """The architecture that the names of its parts tell."""
        parts = dict.fromkeys(name.partition(".")[0] for name in state)
        written = [part.split("-")[1:] for part in parts if "-" in part]
        return assembled([(kind, int(kernel), int(width)) for kind, kernel, width in written], task)


def promise(genes: Sequence[Gene], task: CompressionTask, loss: Loss, shares: float) -> float:
    """Accuracy of the network of ``genes`` on training samples, after so many times the task's steps."""
    return accuracy(taught(assembled(genes, task), task, loss, shares), task.x[:SAMPLES], task.y[:SAMPLES])


def space(task: CompressionTask) -> dict[str, optuna.distributions.BaseDistribution]:
    """Choices for each stage of an image, and the width of a dense layer; 0 for none."""
    shape = task.x.shape[1:]
    stages = sum(min(shape[1:]) >> stage >= SMALLEST for stage in range(STAGES)) if len(shape) == 3 else 0
    found: dict[str, optuna.distributions.BaseDistribution] = {}
    for stage in range(stages):
        found[f"kind {stage}"] = optuna.distributions.CategoricalDistribution(KINDS)
        found[f"kernel {stage}"] = optuna.distributions.CategoricalDistribution((3, 5))
        found[f"width {stage}"] = optuna.distributions.IntDistribution(4, 32, step=4)
    return found | {"dense": optuna.distributions.IntDistribution(0, 128, step=16)}


def genes_of(params: Mapping[str, int | str]) -> tuple[Gene, ...]:
    """An architecture as proposed, without what is not there."""
    stages = itertools.takewhile(lambda number: f"kind {number}" in params, itertools.count())
    genes = [(str(params[f"kind {n}"]), int(params[f"kernel {n}"]), int(params[f"width {n}"])) for n in stages]
    return tuple(gene for gene in (*genes, ("dense", 0, int(params["dense"]))) if gene[0] != "none" and gene[2])


def assembled(genes: Iterable[Gene], task: CompressionTask) -> nn.Sequential:
    """The network of ``genes``, untrained; the names of its parts say what they are."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    shape = tuple(task.x.shape[1:])
    for number, (kind, kernel, width) in enumerate(genes):
        make = dense if kind == "dense" else stage
        parts[f"{number}-{kind}-{kernel}-{width}"] = make(kind, kernel, width, shape)
        shape = (width,) if kind == "dense" else (width, *(-(-side // 2) for side in shape[1:]))
    parts["flat"] = nn.Flatten()
    parts["output"] = nn.Linear(math.prod(shape), task.classes)
    return nn.Sequential(parts)


def dense(kind: str, kernel: int, width: int, shape: Sequence[int]) -> nn.Sequential:
    """A layer of ``width`` units that reads all of a ``shape``."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), width), nn.ReLU())


def stage(kind: str, kernel: int, width: int, shape: Sequence[int]) -> nn.Sequential:
    """Convolutions that halve an image of ``shape`` and give it ``width`` channels."""
    channels, around = shape[0], kernel // 2
    end = [nn.BatchNorm2d(width), nn.ReLU()]
    if kind == "pooled":
        pool = nn.MaxPool2d(2, ceil_mode=True)
        return nn.Sequential(nn.Conv2d(channels, width, kernel, padding=around, bias=False), *end, pool)
    if kind == "strided":
        return nn.Sequential(nn.Conv2d(channels, width, kernel, 2, around, bias=False), *end)
    depthwise = nn.Conv2d(channels, channels, kernel, 2, around, groups=channels, bias=False)
    between = [nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(depthwise, *between, nn.Conv2d(channels, width, 1, bias=False), *end)
