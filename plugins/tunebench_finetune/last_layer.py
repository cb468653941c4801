"""Retraining of the output layer alone, on cached activations.

After cRT (Kang et al. 2020) and DFR (Kirichenko et al. 2023).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn

from tunebench import Tuner, TuningTask
from tunebench.training import CrossEntropy, fine_tune, limited

BATCH_SIZE = 64


class LastLayer(Tuner):
    """Keep the features; train the classifier on from its present weights, targets drawn more often."""

    name = "last-layer"

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Oversampling rate of the targets, L2 penalty, step size and number of steps."""
        return {
            "rate": FloatDistribution(1.0, 20.0, log=True),
            "l2": FloatDistribution(1e-6, 1e-2, log=True),
            "lr_multiplier": FloatDistribution(0.1, 30.0, log=True),
            "steps": IntDistribution(50, 2000, log=True),
        }

    def skip(self, task: TuningTask) -> str | None:
        """The cached activations have to be what the output layer sees."""
        head = output_layer(task.model)
        if not isinstance(head, nn.Linear):
            return "the last module of the network is not a Linear layer"
        features = last_hidden(task)
        if features.shape[1] != head.in_features or head.out_features != task.classes:
            return "the output layer is not fed by the last hidden layer"
        with torch.no_grad():
            same = torch.allclose(head(features[:64]), task.logits_train[:64], rtol=1e-3, atol=1e-3)
        return None if same else "the output layer is not fed by the last hidden layer"

    def prepare(self, task: TuningTask) -> Tensor:
        """The features (N, units of the last hidden layer), shared by all trials."""
        return last_hidden(task)

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Tensor) -> nn.Module:
        """A copy in which only the output layer has changed."""
        model = copy.deepcopy(task.model)
        steps = limited(params["steps"], len(task.y_train))
        rows = oversampled_rows(task.y_train, task.targets, params["rate"], steps, task.seed)
        batches = ((prepared.index_select(0, part), task.y_train.index_select(0, part)) for part in rows)
        head = nn.Sequential(output_layer(model))
        lr = params["lr_multiplier"] * task.learning_rate
        fine_tune(head, batches, CrossEntropy(), lr, task.seed, weight_decay=params["l2"])
        return model.eval()


def output_layer(model: nn.Module) -> nn.Module:
    """The module that ``model`` defines last."""
    return list(model.modules())[-1]


def last_hidden(task: TuningTask) -> Tensor:
    """Training activations of the last hidden layer, (N, units); (N, 0) if there is none."""
    if not len(task.layer_of):
        return task.hidden_train
    return task.hidden_train[:, task.layer_of == task.layer_of.max()]


def oversampled_rows(y: Tensor, targets: Sequence[int], rate: float, steps: int, seed: int) -> Iterator[Tensor]:
    """Row numbers of ``steps`` batches, drawn with replacement, the targets ``rate`` times as often."""
    labels = y.cpu()
    chances = torch.ones(len(labels), dtype=torch.float64)
    chances[torch.isin(labels, torch.tensor(targets))] = rate
    generator = torch.Generator().manual_seed(seed)
    rows = torch.multinomial(chances, steps * BATCH_SIZE, replacement=True, generator=generator)
    return iter(torch.split(rows.to(y.device), BATCH_SIZE))
