"""Automatic compression: how many channels each layer keeps is searched under a limit of operations."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import optuna
from torch import Tensor, nn

from tunebench import Compression, CompressionTask, Inapplicable
from tunebench.compression import share
from tunebench_compression.parametrizations import weighted_layers
from tunebench_compression.thinning import LIBRARY, resized, thin
from tunebench_compression.training import accuracy, recover

TRIALS, SAMPLES, HALVINGS = 30, 2000, 10
"""Proposals, training samples that judge each, and steps of the bisection that brings one to the limit."""
SLACK, MOST = 0.02, 0.8
"""How far below the limit a network may be, and the share of a layer's channels that may go."""


class Amc(Compression):
    """Ratios of channels for each layer, searched under a limit of FLOPs (He et al. 2018, with TPE for its agent)."""

    name = "amc"
    default = "0.5"
    packages = (LIBRARY,)
    summary = "Share of the FLOPs that is left: which channels go from which layer is searched, then fine-tuning."

    def read(self, text: str) -> float:
        """The share of the FLOPs that is left."""
        return share(text)

    def compress(self, task: CompressionTask, value: float) -> nn.Module:
        """The proposal that classifies best before any training, as in the paper; then training."""
        limit = value * task.flops(task.model)
        hidden = [name for name in weighted_layers(task.model) if name != task.output]
        space = {name: optuna.distributions.FloatDistribution(0.05, MOST) for name in hidden}
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=task.seed % 2**32))
        best: tuple[float, nn.Module | None] = (-1.0, None)
        few = task.x[:SAMPLES], task.y[:SAMPLES]
        for _ in range(TRIALS):
            trial = study.ask(dict(space))
            model = at_limit(task, trial.params, limit)
            if model is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            score = accuracy(model, *few)
            study.tell(trial, score)
            best = max(best, (score, model), key=lambda pair: pair[0])
        if best[1] is None:
            raise Inapplicable(f"no share of channels in each layer leaves {value:g} of the FLOPs within {SLACK:.0%}")
        return recover(best[1], task)

    def rebuild(self, task: CompressionTask, value: float, state: Mapping[str, Tensor]) -> nn.Module:
        """Layers of the same sizes."""
        return resized(task.model, state)


def at_limit(task: CompressionTask, ratios: Mapping[str, float], limit: float) -> nn.Module | None:
    """The network without a multiple of ``ratios`` of its channels that has ``limit`` FLOPs or few fewer, or None."""
    low, high = 0.0, MOST / min(ratios.values(), default=MOST)
    for _ in range(HALVINGS):
        factor = (low + high) / 2
        shares = {name: min(factor * ratio, MOST) for name, ratio in ratios.items()}
        model = thin(copy.deepcopy(task.model), task, 0.0, shares)
        flops = task.flops(model)
        if (1 - SLACK) * limit <= flops <= limit:
            return model
        low, high = (factor, high) if flops > limit else (low, factor)
    return None
