"""One cell from start to end: load the task, search, and only then load the test split and score once."""

from __future__ import annotations

import json
import os
import platform
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tunebench.datasets import Place, Samples, open_dataset
from tunebench.errors import DataError, HostFault, InvalidOutput, TunebenchError, UsageError
from tunebench.grid.provenance import THREADS, provenance
from tunebench.grid.tasks import fingerprint, load_task, load_test
from tunebench.naming import cut, printable
from tunebench.networks.activations import Activations, activations, forward
from tunebench.networks.cost import cost_of_edit, cost_of_module
from tunebench.networks.edits import agree, anatomy_of, edited_logits, fold
from tunebench.networks.integrity import data_fault
from tunebench.networks.models import ModelSpec, find_model, offered_models
from tunebench.networks.originals import data_folder, ensure_original, fault_of, materialise
from tunebench.networks.sites import survey
from tunebench.plugins import Registry, load_registry, one_line
from tunebench.results.cells import Job, cell_inputs, differences
from tunebench.results.metrics import operating_point
from tunebench.results.predictions import pack
from tunebench.results.records import check_record
from tunebench.results.shapes import Damaged
from tunebench.selection.budgets import Demand
from tunebench.selection.search import Selection, search
from tunebench.selection.selector import Candidate, SearchOptions
from tunebench.tuner import LogitEdit, Tuner, TuningTask
from tunebench.workers import isolation

Record = dict[str, Any]
PROBE_ROWS = 8
CHECKED = 512
"""Test samples on which a folded network is run."""


def run_cell(job: Job) -> Record:
    """Compute one cell; whatever the tuner does short of ending the process becomes the record's status.

    HostFault for what this machine lacks: that is no result of the tuner's.
    """
    torch.set_num_threads(THREADS)
    origin = provenance(job)
    try:
        with hosts_part():
            registry = load_registry(job.plugins, only=job.owners)
            check_inputs(job, registry)
            tuner, spec = registry.tuner(job.cell.tuner), model_of(registry, job)
        record = record_of(job, origin, evaluate(job, tuner, spec))
        check_output(record, job)
    except InvalidOutput as exc:
        return record_of(job, origin, failure("invalid", str(exc)))
    except HostFault:
        raise
    except BaseException as exc:  # SystemExit too: it must not end the run
        isolation.limit_memory(None)  # telling what happened needs some
        status = "out-of-memory" if isolation.is_out_of_memory(exc) else "error"
        return record_of(job, origin, failure(status, last_lines(exc)))
    return record


@contextmanager
def hosts_part() -> Iterator[None]:
    """Raise what fails inside as HostFault, unless the cell has reached its memory limit."""
    try:
        yield
    except Exception as exc:
        if isolation.is_out_of_memory(exc):
            raise
        raise HostFault(str(exc) if isinstance(exc, TunebenchError) else one_line(exc)) from exc


def record_of(job: Job, origin: Record, result: Record) -> Record:
    """What is stored for a cell; ``origin`` is its `provenance`."""
    return {
        "cell": asdict(job.cell),
        "key": job.key,
        "inputs": job.inputs,
        "options": asdict(job.options),
        "provenance": origin,
        **result,
    }


def check_inputs(job: Job, registry: Registry) -> None:
    """UsageError when this process would compute something else than the run that asked for it."""
    mine = cell_inputs(job.cell, job.original, job.options, registry.digest(job.cell.tuner))
    changed = "; ".join(differences(job.inputs, mine))
    if changed:
        raise UsageError(f"the worker is not what the run began with ({changed}); install the same there, or run again")


def check_output(record: Record, job: Job) -> None:
    """InvalidOutput when something that the tuner chose, a parameter say, cannot be stored."""
    try:
        check_record(json.loads(json.dumps(record, allow_nan=False)), job.cell)
    except (TypeError, ValueError, Damaged) as exc:
        raise InvalidOutput(f"the result cannot be stored: {exc}") from exc


def ready(job: Job) -> bool:
    """Whether this machine has the data and the original of ``job``, whole."""
    return not (data_fault(data_folder(job.original.data)) or fault_of(job.original))


def make_ready(job: Job) -> None:
    """Open the data and train the original, as another machine than the one that started the run has to.

    HostFault when that cannot be done.
    """
    torch.set_num_threads(THREADS)
    isolation.silence()
    key = job.original
    with hosts_part():
        registry = load_registry(job.plugins, only=None if job.owners is None else {*job.owners, *job.sources})
        if data_fault(data_folder(key.data)):
            dataset = open_dataset(key.dataset, job.place or Place(None), registry.named("tunebench_datasets"))
            if dataset.checksum != key.data:
                where = platform.node()
                raise DataError(f"{key.dataset} on {where} is not the data set of the run; copy the same files")
            materialise(dataset)
        ensure_original(key, model_of(registry, job))


def make_ready_elsewhere(job: Job) -> None:
    """`make_ready` on another machine than the run's: its own TUNEBENCH_DATA wins over the path that the run has."""
    own, place = os.environ.get("TUNEBENCH_DATA"), job.place or Place(None)
    make_ready(replace(job, place=replace(place, data_dir=Path(own))) if own else job)


def evaluate(job: Job, tuner: Tuner, spec: ModelSpec) -> Record:
    """The result of a cell whose tuner behaves; raises what the tuner raises."""
    device = torch.device(job.device)
    with hosts_part():
        task = load_task(job.original, spec, job.cell.targets, job.cell.tuner, device)
    if job.original.protocol == "own":  # its owner's samples are all there is
        return result_of(task, tuner, job.options, lambda: Samples(task.x_valid, task.y_valid))
    return result_of(task, tuner, job.options, lambda: load_test(job.original, job.cell.targets, device))


def result_of(task: TuningTask, tuner: Tuner, options: SearchOptions, test: Callable[[], Samples]) -> Record:
    """What a search on ``task`` gives, scored once on the split that ``test`` loads."""
    torch.manual_seed(task.seed)
    before = fingerprint(task)
    reason = tuner.skip(task)
    if reason is not None:
        return failure("skipped", str(reason))
    selection = search(tuner, task, options)
    if fingerprint(task) != before:
        raise InvalidOutput("task.model or a task tensor was changed; work on a copy")
    # Selection is final from here on; nothing below feeds back into it.
    with hosts_part():
        samples = test()
    return {
        "status": "ok",
        "reason": None if selection.reason is None else printable(str(selection.reason)),
        **final_scores(task, selection, samples, options.demand),
        "selected_on": "test" if options.protocol == "paper" else "validation",
        "trials": selection.trials,
        "regret": selection.regret,
        "tune_seconds": selection.tune_seconds,
        "history": selection.history,
    }


def final_scores(task: TuningTask, selection: Selection, test: Samples, demand: Demand) -> Record:
    """Test metrics of the original and of every chosen candidate, with packed per-image predictions."""
    if test.x is task.x_valid:
        seen = Activations(task.hidden_valid, task.logits_valid, task.layer_of)
    else:
        seen = activations(task.model, test.x, max_hidden=task.max_hidden)
    labels = test.y.cpu().numpy()
    original = seen.logits.argmax(1).cpu().numpy()
    points: dict[str, dict[str, Record]] = {}
    scored: dict[int, Record] = {}
    for variant, by_budget in selection.chosen.items():
        points[variant] = {}
        for limit, candidate in by_budget.items():
            if id(candidate) not in scored:
                logits = test_logits(task, candidate, test.x, seen.hidden, seen.logits)
                predictions = logits.argmax(1).cpu().numpy()
                scored[id(candidate)] = {
                    **describe(candidate),
                    "test": operating_point(labels, predictions, original, task.targets, task.classes),
                    "cost": cost_of(task, candidate)._asdict(),
                    "predictions": pack(predictions, original),
                }
            points[variant][str(limit)] = scored[id(candidate)]
    for limit, verdict in selection.verdicts.items():
        points["certified"][str(limit)] = points["certified"][str(limit)] | verdict.as_dict()
    probe = forward(finished(task, selection.chosen["plain"][demand]), task.x_valid[:PROBE_ROWS])
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
        "valid": candidate.score._asdict(),
    }


def test_logits(task: TuningTask, candidate: Candidate, x: Tensor, hidden: Tensor, logits: Tensor) -> Tensor:
    """Logits (N, C) by a forward of the finished network; of an edit, from the activations of the original.

    A real forward of the folded network on the first `CHECKED` samples has to agree with these.
    """
    network = finished(task, candidate)
    if isinstance(candidate.output, LogitEdit):
        out = edited_logits(shifted_edit(candidate.output, task, candidate.shift), hidden, logits)
        folded = forward(network, x[:CHECKED])
        if not agree(folded, out[:CHECKED], task.model):
            worst = float((folded - out[:CHECKED]).abs().max())
            raise InvalidOutput(f"the folded network and the LogitEdit differ by up to {worst:.3g} in a logit")
    else:
        out = forward(network, x)
    if not bool(torch.isfinite(out).all()):
        raise InvalidOutput("the tuned network's logits on test are NaN or infinite")
    return out


test_logits.__test__ = False  # type: ignore[attr-defined]


def finished(task: TuningTask, candidate: Candidate) -> nn.Module:
    """The network that a candidate stands for: edits folded in, the shift in the output bias."""
    if isinstance(candidate.output, LogitEdit):
        return fold(task.model, shifted_edit(candidate.output, task, candidate.shift), anatomy_of(task)).to(task.device)
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


def cost_of(task: TuningTask, candidate: Candidate) -> Any:
    """The `Cost` of a candidate's network."""
    x = task.x_valid[:1]
    if isinstance(candidate.output, LogitEdit):
        edit = shifted_edit(candidate.output, task, candidate.shift)
        return cost_of_edit(task.model, edit, finished(task, candidate), x, anatomy_of(task))
    return cost_of_module(finished(task, candidate), x)


def model_of(registry: Registry, job: Job) -> ModelSpec:
    """The network of a cell."""
    return find_model(job.cell.model, offered_models(registry).values(), job.network)


def failure(status: str, reason: str) -> Record:
    """The part of a record that says why there is no result."""
    return {"status": status, "reason": printable(cut(reason, 2000))}


def last_lines(exc: BaseException, frames: int = 2, width: int = 1500) -> str:
    """The last frames of a traceback and the exception; of a long one head and tail."""
    places = "".join(traceback.format_tb(exc.__traceback__)[-frames:])
    said = "".join(traceback.format_exception_only(exc)).strip()
    return cut(places, 2000 - width) + cut(said, width)
