"""What final choices are on the test split: metrics, costs and packed predictions, as JSON values."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tunebench.datasets import Samples
from tunebench.errors import InvalidOutput
from tunebench.grid.finishing import finished, shifted_edit
from tunebench.networks.activations import Activations, activations, forward
from tunebench.networks.cost import cost_of_edit, cost_of_module
from tunebench.networks.edits import agree, anatomy_of, edited_logits, terms_of
from tunebench.networks.sites import Anatomy
from tunebench.results.metrics import operating_point
from tunebench.results.predictions import pack
from tunebench.selection.budgets import Demand
from tunebench.selection.search import Selection
from tunebench.selection.selector import Candidate
from tunebench.tuner import LogitEdit, TuningTask

Record = dict[str, Any]
PROBE_ROWS = 8
CHECKED = 512
"""Test samples on which a folded network is run."""


def final_scores(task: TuningTask, selection: Selection, test: Samples, demand: Demand) -> Record:
    """Test metrics of the original and of every chosen candidate, with packed per-image predictions."""
    if test.x is task.x_valid:
        seen = Activations(task.hidden_valid, task.logits_valid, task.layer_of)
    else:
        seen = activations(task.model, test.x, max_hidden=task.max_hidden)
    labels = test.y.cpu().numpy()
    original = seen.logits.argmax(1).cpu().numpy()
    anatomy = anatomy_of(task)
    points: dict[str, dict[str, Record]] = {}
    scored: dict[int, Record] = {}
    for variant, by_budget in selection.chosen.items():
        points[variant] = {}
        for limit, candidate in by_budget.items():
            if id(candidate) not in scored:
                network = finished(task, candidate, anatomy)
                logits = logits_on(task, candidate, network, test.x, seen)
                predictions = logits.argmax(1).cpu().numpy()
                scored[id(candidate)] = {
                    **describe(candidate),
                    "test": operating_point(labels, predictions, original, task.targets, task.classes),
                    "cost": cost_of(task, candidate, network, anatomy)._asdict(),
                    "predictions": pack(predictions, original),
                }
            points[variant][str(limit)] = scored[id(candidate)]
    for limit, verdict in selection.verdicts.items():
        points["certified"][str(limit)] = points["certified"][str(limit)] | verdict.as_dict()
    probe = forward(finished(task, selection.chosen["plain"][demand], anatomy), task.x_valid[:PROBE_ROWS])
    return {
        "original": operating_point(labels, original, original, task.targets, task.classes)
        | {"valid": list(task_score(task))},
        "classes": task.classes,
        "labels": pack(labels, np.zeros_like(labels)),
        "predictions": pack(original, labels),
        "points": points,
        "probe": probe.double().cpu().tolist(),
    }


def task_score(task: TuningTask) -> tuple[int, int]:
    """Right target samples and right samples of the original on the selection split."""
    right = task.logits_valid.argmax(1) == task.y_valid
    mine = torch.isin(task.y_valid, task.y_valid.new_tensor(task.targets))
    return int((right & mine).sum()), int(right.sum())


def describe(candidate: Candidate) -> Record:
    """A candidate's choices and its selection score, as JSON values."""
    return {
        "trial": candidate.trial,
        "fell_back": candidate.trial == 0,
        "params": candidate.params,
        "scale": candidate.scale,
        "shift": candidate.shift,
        "share": candidate.share,
        "valid": candidate.score._asdict(),
    }


def logits_on(task: TuningTask, candidate: Candidate, network: nn.Module, x: Tensor, seen: Activations) -> Tensor:
    """Logits (N, C) by a forward of the finished ``network``; of an edit, from what is ``seen`` in the original.

    A real forward of the folded network on the first `CHECKED` samples has to agree with these.
    """
    if isinstance(candidate.output, LogitEdit):
        edit = shifted_edit(candidate.output, task, candidate.shift)
        out = edited_logits(edit, seen.hidden, seen.logits)
        folded, terms = forward(network, x[:CHECKED]), terms_of(edit, seen.hidden[:CHECKED], seen.logits[:CHECKED])
        if not agree(folded, out[:CHECKED], task.model, terms):
            worst = float((folded - out[:CHECKED]).abs().max())
            raise InvalidOutput(f"the folded network and the LogitEdit differ by up to {worst:.3g} in a logit")
    else:
        out = forward(network, x)
    if not bool(torch.isfinite(out).all()):
        raise InvalidOutput("the tuned network's logits on test are NaN or infinite")
    return out


def cost_of(task: TuningTask, candidate: Candidate, network: nn.Module, anatomy: Anatomy) -> Any:
    """The `Cost` of a candidate's finished ``network``."""
    x = task.x_valid[:1]
    if isinstance(candidate.output, LogitEdit):
        edit = shifted_edit(candidate.output, task, candidate.shift)
        return cost_of_edit(task.model, edit, network, x, anatomy)
    return cost_of_module(network, x)
