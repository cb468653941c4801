"""CW-P, CS-P and CS-P with fine-tuning (Xu & Wang 2026, section 3 of docs/methods.md)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn

from tunebench import Tuner, TuningTask
from tunebench_pruning.finetuning import class_weighted_fine_tune
from tunebench_pruning.masks import linear_layers, linear_parameters, smallest_weights, zero_out
from tunebench_pruning.sensitivity import least_sensitive_neurons, least_sensitive_weights, loss_change

SHARE: dict[str, BaseDistribution] = {"share": FloatDistribution(0.001, 0.3, log=True)}
FINE_TUNING: dict[str, BaseDistribution] = {
    "lambda": FloatDistribution(1.0, 20.0, log=True),
    "lr_multiplier": FloatDistribution(0.03, 3.0, log=True),
    "steps": IntDistribution(500, 2000, log=True),
}


class ClassWeightedPruning(Tuner):
    """CW-P: fine-tune with weight lambda on the targets, then prune globally by magnitude, biases included.

    The paper gives neither lambda nor epochs; its step size is 0.1 times the original's and its share 1 %.
    """

    name = "cw-p"
    honours = frozenset({"max_steps"})

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """lambda, step size and number of steps of the fine-tuning, then the pruned share."""
        return {**FINE_TUNING, **SHARE}

    def skip(self, task: TuningTask) -> str | None:
        """Pruning is defined on Linear layers."""
        return _no_linear_layers(task)

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Any) -> nn.Module:
        """A fine-tuned copy with ``floor((1 - share) * N)`` of its N Linear parameters kept."""
        model = copy.deepcopy(task.model)
        class_weighted_fine_tune(model, task, params)
        zero_out(linear_parameters(model), smallest_weights(model, params["share"]))
        return model


class ClassSensitivePruning(Tuner):
    """CS-P: prune what the targets' loss depends on least; with no fine-tuning TA cannot rise by much.

    ``level="weight"`` is the primary form; ``level="neuron"`` removes whole hidden neurons of a stack of
    Linear layers and is called ``cs-p-neuron``.
    """

    def __init__(self, level: Literal["weight", "neuron"] = "weight") -> None:
        self.name = "cs-p" if level == "weight" else "cs-p-neuron"
        self.level = level

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """The pruned share of parameters, or of hidden neurons."""
        return SHARE

    def skip(self, task: TuningTask) -> str | None:
        """Needs Linear layers and training samples of the targets; neurons need a stack of layers."""
        if reason := _no_linear_layers(task):
            return reason
        if not len(_of_targets(task)):
            return "no training samples of the target class"
        layers = linear_layers(task.model)
        chained = all(a.out_features == b.in_features for a, b in pairwise(layers))
        if self.level == "neuron" and not (chained and len(layers) > 1):
            return "the network is not a stack of Linear layers with hidden neurons"
        return None

    def prepare(self, task: TuningTask) -> list[list[Tensor]]:
        """The first-order loss changes on the targets' training samples, shared by all trials."""
        rows = _of_targets(task)
        return loss_change(task.model, task.x_train[rows], task.y_train[rows])

    def masks(self, changes: list[list[Tensor]], share: float) -> list[Tensor]:
        """What to prune, over `linear_parameters`."""
        least = least_sensitive_weights if self.level == "weight" else least_sensitive_neurons
        return least(changes, share)

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: list[list[Tensor]]) -> nn.Module:
        """A pruned copy."""
        model = copy.deepcopy(task.model)
        zero_out(linear_parameters(model), self.masks(prepared, params["share"]))
        return model


class FineTunedClassSensitivePruning(ClassSensitivePruning):
    """CS-P, then CW-P's fine-tuning of what is left: pruned weights are set back to zero after every step."""

    def __init__(self) -> None:
        super().__init__("weight")
        self.name = "cs-p-ft"
        self.honours = frozenset({"max_steps"})

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """CS-P's share and CW-P's fine-tuning."""
        return {**FINE_TUNING, **SHARE}

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: list[list[Tensor]]) -> nn.Module:
        """A pruned and fine-tuned copy whose pruned weights are exactly zero."""
        pruned = self.masks(prepared, params["share"])
        model = super().tune(task, params, prepared)
        class_weighted_fine_tune(model, task, params, pruned)
        return model


def _of_targets(task: TuningTask) -> Tensor:
    """Row numbers of the targets' training samples."""
    return torch.isin(task.y_train, torch.tensor(task.targets, device=task.y_train.device)).nonzero().flatten()


def _no_linear_layers(task: TuningTask) -> str | None:
    return None if linear_layers(task.model) else "the network has no Linear layers to prune"
