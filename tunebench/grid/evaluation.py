"""One cell from start to end: load the task, search, and only then load the test split and score once."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import torch

from tunebench.datasets import Samples
from tunebench.errors import HostFault, Inapplicable, InvalidOutput, TunebenchError, UsageError
from tunebench.grid.provenance import provenance, seed_all, settle
from tunebench.grid.scoring import Record, final_scores
from tunebench.grid.tasks import fingerprint, load_task, load_test
from tunebench.naming import cut, printable, said
from tunebench.networks.compressed import network_of
from tunebench.networks.models import ModelSpec
from tunebench.plugins import Registry, load_registry
from tunebench.results.cells import Job, cell_inputs, differences
from tunebench.results.records import check_record
from tunebench.results.shapes import Damaged
from tunebench.selection.constraints import constrained, misfit
from tunebench.selection.path import was_touched, watched
from tunebench.selection.search import Selection, search
from tunebench.selection.selector import SearchOptions
from tunebench.tuner import Tuner, TuningTask
from tunebench.workers import isolation


def run_cell(job: Job) -> Record:
    """Compute one cell; whatever the tuner does short of ending the process becomes the record's status.

    HostFault for what this machine lacks: that is no result of the tuner's.
    """
    settle()
    origin = provenance(job)
    try:
        with hosts_part():
            registry = load_registry(job.plugins, only=job.owners)
            check_inputs(job, registry)
            tuner, spec = registry.tuner(job.cell.tuner), model_of(registry, job)
        record = record_of(job, origin, evaluate(job, tuner, spec))
        check_output(record, job)
    except HostFault:
        raise
    except BaseException as exc:  # SystemExit too: it must not end the run
        isolation.limit_memory(None)  # telling what happened needs some
        return record_of(job, origin, failed(exc))
    return record


def failed(exc: BaseException) -> Record:
    """What is recorded of a tuner that raised ``exc``."""
    if isinstance(exc, InvalidOutput):
        return failure("invalid", str(exc))
    if isinstance(exc, Inapplicable):
        return failure("skipped", str(exc))
    return failure("out-of-memory" if isolation.is_out_of_memory(exc) else "error", last_lines(exc))


@contextmanager
def hosts_part() -> Iterator[None]:
    """Raise what fails inside as HostFault, unless the cell has reached its memory limit."""
    try:
        yield
    except Exception as exc:
        if isolation.is_out_of_memory(exc):
            raise
        raise HostFault(str(exc) if isinstance(exc, TunebenchError) else said(exc)) from exc


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
    try:
        selection = searched(task, tuner, options)
    except Inapplicable as exc:
        return failed(exc)
    # Selection is final from here on; nothing below feeds back into it.
    with hosts_part():
        samples = test()
    return scored(task, selection, samples, options)


def searched(task: TuningTask, tuner: Tuner, options: SearchOptions) -> Selection:
    """The choices of a tuner on ``task``, torch seeded by it.

    Raises Inapplicable where it passes the task over, InvalidOutput where it wrote to it, and what the tuner raises.
    """
    seed_all(task.seed, task.device)
    before = fingerprint(task)
    if (unfit := misfit(task, options)) is not None:
        raise Inapplicable(unfit)
    seen = watched(constrained(task, options))
    if (reason := tuner.skip(seen)) is not None:
        raise Inapplicable(str(reason))
    selection = search(tuner, task, options, trusted=not was_touched(seen))
    if fingerprint(task) != before:
        raise InvalidOutput("task.model or a task tensor was changed; work on a copy")
    return selection


def scored(task: TuningTask, selection: Selection, samples: Samples, options: SearchOptions) -> Record:
    """What is recorded of ``selection``, on the samples of the test split."""
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


def model_of(registry: Registry, job: Job) -> ModelSpec:
    """The network of a cell."""
    return network_of(job.cell.model, registry, job.network)


def failure(status: str, reason: str) -> Record:
    """The part of a record that says why there is no result."""
    return {"status": status, "reason": printable(cut(reason, 2000))}


def last_lines(exc: BaseException, frames: int = 2, width: int = 1500) -> str:
    """The last frames of a traceback and the exception; of a long one head and tail."""
    places = "".join(traceback.format_tb(exc.__traceback__)[-frames:])
    said = "".join(traceback.format_exception_only(exc)).strip()
    return cut(places, 2000 - width) + cut(said, width)
