"""Retraining of the output layer alone, on cached activations.

After cRT (Kang et al. 2020) and DFR (Kirichenko et al. 2023).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor, nn

from tunebench import LogitEdit, Tuner, TuningTask
from tunebench.training import CrossEntropy, fine_tune
from tunebench_finetune.schedule import Schedule

BATCH_SIZE = 64


class LastLayer(Tuner):
    """Keep the features; train the classifier on from its present weights, targets drawn more often."""

    name = "last-layer"
    honours = frozenset({"max_steps"})
    schedule = Schedule(multiples=(0.1, 30.0))

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Oversampling rate of the targets, weight decay (of SGD an L2 penalty), then the schedule's."""
        return {
            "rate": FloatDistribution(1.0, 20.0, log=True),
            "l2": FloatDistribution(1e-6, 1e-2, log=True),
            **self.schedule.space(),
        }

    def skip(self, task: TuningTask) -> str | None:
        """The cached activations have to be what the output layer sees."""
        return no_output_layer(task)

    def prepare(self, task: TuningTask) -> Tensor:
        """The features (N, units of the last hidden layer), shared by all trials."""
        return last_hidden(task)

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Tensor) -> LogitEdit:
        """What the retrained output layer adds to the logits."""
        before = output_layer(task)
        assert before is not None
        optimiser = self.schedule.optimiser(task, params, params["l2"])
        rows = oversampled_rows(task.y_train, task.targets, params["rate"], optimiser.steps, task.seed)
        batches = ((prepared.index_select(0, part), task.y_train.index_select(0, part)) for part in rows)
        head = nn.Sequential(copy.deepcopy(before))
        fine_tune(head, batches, CrossEntropy(), optimiser, task.seed)
        with torch.no_grad():
            weight = task.hidden_train.new_zeros(task.classes, task.hidden_train.shape[1])
            weight[:, -prepared.shape[1] :] = head[0].weight - before.weight
            bias = weight.new_zeros(task.classes) if before.bias is None else head[0].bias - before.bias
        return LogitEdit(weight, bias)


def no_output_layer(task: TuningTask) -> str | None:
    """Why there is no `output_layer`, or None when there is one."""
    if not any(isinstance(part, nn.Linear) for part in task.model.modules()):
        return "the network has no Linear layer"
    return None if output_layer(task) is not None else "the output layer is not fed by the last hidden layer"


def output_layer(task: TuningTask) -> nn.Linear | None:
    """The Linear layer that makes the logits of the last hidden layer's activations, or None."""
    features = last_hidden(task)
    wanted = (features.shape[1], task.classes)
    for part in reversed(list(task.model.modules())):
        if isinstance(part, nn.Linear) and (part.in_features, part.out_features) == wanted:
            with torch.no_grad():
                found = part(features[:64].to(part.weight.dtype)).to(task.logits_train.dtype)
            if torch.allclose(found, task.logits_train[:64], rtol=1e-3, atol=1e-3):
                return part
    return None


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
