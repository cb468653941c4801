"""The network that a choice stands for, from the candidate at hand or from what a record says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from tunebench.networks.between import between
from tunebench.networks.edits import anatomy_of, fold
from tunebench.networks.sites import Anatomy, survey
from tunebench.selection.search import checked
from tunebench.selection.selector import Candidate
from tunebench.selection.tradeoff import Score
from tunebench.tuner import LogitEdit, Tuner, TuningTask


def finished(task: TuningTask, candidate: Candidate, known: Anatomy | None = None) -> nn.Module:
    """The network that a candidate stands for: edits folded in, the shift in the output bias.

    ``known`` is `anatomy_of` the task, for whoever has it.
    """
    if isinstance(candidate.output, LogitEdit):
        edit = shifted_edit(candidate.output, task, candidate.shift)
        return fold(task.model, edit, known or anatomy_of(task)).to(task.device)
    if candidate.shift == 0.0:
        return candidate.output.eval()
    anatomy = survey(candidate.output, task.x_valid.shape[1:], task.max_hidden)
    zeros = task.logits_valid.new_zeros
    nothing = LogitEdit(zeros(task.classes, anatomy.hidden), zeros(task.classes))
    return fold(candidate.output, shifted_edit(nothing, task, candidate.shift), anatomy).to(task.device)


def shifted_edit(edit: LogitEdit, task: TuningTask, shift: float) -> LogitEdit:
    """``edit`` with ``shift`` added to the bias of the target logits."""
    bias = edit.bias.clone()
    bias[list(task.targets)] += shift
    return LogitEdit(edit.weight, bias)


def rebuilt(task: TuningTask, tuner: Tuner, chosen: Mapping[str, Any]) -> nn.Module:
    """The network of a cell's chosen point, from its parameters."""
    if chosen["fell_back"]:
        output: nn.Module | LogitEdit = LogitEdit.of_target(task)
    else:
        output = checked(tuner.tune(task, dict(chosen["params"]), tuner.prepare(task)), task)
        if chosen["scale"] is not None and isinstance(output, LogitEdit):
            output = output.scaled(chosen["scale"])
        output = between(task.model, output, chosen.get("share", 1.0))
    return finished(task, Candidate(chosen["trial"], {}, output, Score(0, 0, 0, 0), shift=chosen["shift"]))
