"""Deep feature reweighting: the output layer fitted anew, sparsely, on samples that the network was not trained on.

After Kirichenko, Izmailov & Wilson 2023 (arXiv 2204.02937); see docs/methods.md, section 8, for what is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor

from tunebench import LogitEdit, TuningTask
from tunebench.training import output_layer_of
from tunebench_refit.family import WEIGHT, OutputRefit, of_targets
from tunebench_refit.softmax import Ridge
from tunebench_refit.units import Units

FITS = 20
"""Fits on different balanced samples whose mean is taken, as published."""
STEPS, TOLERANCE = 2000, 1e-5
"""Most proximal steps of a fit, and the relative change of a step that ends it."""
NEARBY = 1e-4
"""The same for a fit that starts from another one's end."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What all trials share."""

    units: Units
    """The output layer's input, standardised over the training samples; its design is that of the held-out ones."""
    labels: Tensor
    """Of the held-out samples, (M,) int64."""
    layer: LogitEdit
    """The original's output layer."""


class DeepFeatureReweighting(OutputRefit):
    """Fits the output layer anew by L1 logistic regression on held-out features, the mean of 20 fits (DFR)."""

    name = "dfr"

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Inverse strength of the penalty, and the weight of the targets."""
        return {"C": FloatDistribution(0.01, 1.0, log=True), "lambda": WEIGHT}

    def skip(self, task: TuningTask) -> str | None:
        """The last hidden units have to be what a single output layer reads."""
        return super().skip(task) or (None if output_layer_of(task) else "the network has no output layer to fit anew")

    def prepare(self, task: TuningTask) -> HeldOut:
        """The features of half of the validation samples, and the output layer."""
        found = output_layer_of(task)
        assert found is not None
        units = super().prepare(task)
        rows = half(task.y_valid, task.seed)
        return HeldOut(units.of(task.hidden_valid[rows]), task.y_valid[rows], found)

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: HeldOut) -> LogitEdit:
        """The mean of the fits in place of the original's output layer.

        Most samples of two fits are the same where classes are: the first goes all the way from the original's layer,
        the others go from there.
        """
        design, labels = prepared.units.design, prepared.labels
        weight = torch.where(of_targets(labels, task), params["lambda"], 1.0).to(design)
        fits: list[Tensor] = []
        for rows in balanced(labels, FITS, task.seed):
            total = float(weight[rows].sum())
            logits = design.new_zeros(len(rows), task.classes)
            loss = Ridge(design[rows], logits, labels[rows], weight[rows] / total, 0.0, task.classes)
            start, tolerance = (fits[0], NEARBY) if fits else (prepared.units.coefficients(prepared.layer), TOLERANCE)
            fits.append(lasso(loss, 1 / (params["C"] * total), start, tolerance))
        anew, old = prepared.units.edit(task, range(task.classes), torch.stack(fits).mean(0)), prepared.layer
        return LogitEdit(anew.weight - old.weight, anew.bias - old.bias)


def half(labels: Tensor, seed: int) -> Tensor:
    """Row numbers of half of the samples of every class of ``labels`` (N,), at least one of each."""
    generator = torch.Generator().manual_seed(seed)
    parts = [rows[: (len(rows) + 1) // 2] for rows in shuffled(labels, generator)]
    return torch.cat(parts).sort().values


def balanced(labels: Tensor, times: int, seed: int) -> Iterator[Tensor]:
    """Row numbers of as many samples of every class as the rarest has, drawn ``times`` times without replacement."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(times):
        rows = shuffled(labels, generator)
        yield torch.cat([part[: min(map(len, rows))] for part in rows])


def shuffled(labels: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Row numbers of each class that ``labels`` (N,) hold, in random order."""
    places = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    return [part[torch.randperm(len(part), generator=generator).to(part.device)] for part in places]


def lasso(loss: Ridge, strength: float, start: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Coefficients (R, D) of the least loss plus ``strength`` times their absolute sum, the constant's aside.

    Accelerated proximal gradient (FISTA, Beck & Teboulle 2009), started again where it turns uphill (O'Donoghue &
    Candes 2015). Half the largest eigenvalue of the weighted Gram matrix bounds the Hessian and gives the step.
    """
    gram = ((loss.design * loss.weight[:, None]).t() @ loss.design).double()
    step = 2 / float(torch.linalg.eigvalsh(gram)[-1])
    threshold = torch.full_like(start[0], step * strength)
    threshold[-1] = 0
    here = ahead = start
    pace = 1.0
    for _ in range(STEPS):
        moved = ahead - step * loss.at(ahead).gradient
        there = moved.sign() * (moved.abs() - threshold).clamp(min=0)
        change = there - here
        if float(((ahead - there) * change).sum()) > 0:
            pace = 1.0
        faster = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
        ahead = there + (pace - 1) / faster * change
        here, pace = there, faster
        if float(change.norm()) <= tolerance * float(here.norm()):
            break
    return here
