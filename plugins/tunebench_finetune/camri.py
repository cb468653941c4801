"""CAMRI: an angular margin on the important classes alone (Nishiyama et al. 2022, arXiv 2209.10920)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor, nn

from tunebench import TuningTask
from tunebench.training import Loss
from tunebench_finetune.fine_tuning import FineTuning
from tunebench_finetune.last_layer import last_hidden, no_output_layer, output_layer
from tunebench_finetune.losses import on_targets

SHORTEST = 1e-6
"""Least sine of an angle, where its derivative is still finite."""


class Camri(FineTuning):
    """Fine-tunes on angles, with a margin that the targets' samples have to keep (Nishiyama et al. 2022).

    While it trains, the output layer is `Angular`. Divided by the length of its features the layer decides as a plain
    one with rows of equal length and without bias, which is what comes back: the same architecture.
    """

    def __init__(self) -> None:
        space: dict[str, BaseDistribution] = {
            "margin": FloatDistribution(0.0, 0.5),
            "scale": FloatDistribution(4.0, 64.0, log=True),
        }
        super().__init__("camri", margin_on_targets, space)

    def skip(self, task: TuningTask) -> str | None:
        """There have to be features and rows to take the angle between."""
        return no_output_layer(task)

    def prepare(self, task: TuningTask) -> float:
        """Mean length of the original's features, which gives the logits their usual size."""
        return max(float(last_hidden(task).norm(dim=1).mean()), SHORTEST)

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: float) -> nn.Module:
        """A fine-tuned copy with a plain output layer."""
        model, plain = copy.deepcopy(task.model), output_layer(task)
        assert plain is not None
        name = next(name for name, part in task.model.named_modules() if part is plain)
        angular = Angular(plain.weight, params["scale"])
        model.set_submodule(name, angular)
        self.train(model, task, params, prepared)
        model.set_submodule(name, like(plain, angular.rows() * (params["scale"] / prepared)))
        return model


class Angular(nn.Module):
    """``scale`` times the cosine of the angle between the features (B, F) and each row of ``weight`` (C, F).

    Weights that are zero at the start stay zero: somebody pruned them.
    """

    def __init__(self, weight: Tensor, scale: float) -> None:
        super().__init__()
        self.weight, self.scale = nn.Parameter(weight.detach().clone()), scale
        self.kept = weight.detach() != 0

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C)."""
        return self.scale * F.linear(F.normalize(features, dim=-1), F.normalize(self.weight * self.kept, dim=1))

    def rows(self) -> Tensor:
        """The rows, each of length 1."""
        return F.normalize(self.weight.detach() * self.kept, dim=1)


def like(layer: nn.Linear, weight: Tensor) -> nn.Linear:
    """A copy of ``layer`` with ``weight``, and zeros for its bias where it has one."""
    plain = copy.deepcopy(layer)
    with torch.no_grad():
        plain.weight.copy_(weight)
        if plain.bias is not None:
            plain.bias.zero_()
    return plain


def margin_on_targets(task: TuningTask, params: Mapping[str, Any]) -> Loss:
    """`AngularMargin` with ``margin`` radians on the targets and none elsewhere."""
    return AngularMargin(on_targets(task, params["margin"], 0.0), params["scale"])


@dataclass(frozen=True, eq=False)
class AngularMargin:
    """Cross entropy of ``scale * cos(theta)``, in which theta of the true class is larger by the margin of that class.

    ArcFace (Deng et al. 2019) with a margin for every class.
    """

    margin: Tensor
    """Radians, (C,)."""
    scale: float

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar, of logits that are ``scale`` times cosines."""
        at, margin = labels[:, None], self.margin[labels, None]
        cosine = logits.gather(1, at) / self.scale
        sine = (1 - cosine**2).clamp(min=SHORTEST**2).sqrt()
        moved = self.scale * (cosine * margin.cos() - sine * margin.sin())
        return F.cross_entropy(logits.scatter(1, at, moved.to(logits.dtype)), labels)
