"""The serial pass after the grid: original and tuned network timed in turn, one thread, in one process."""

from __future__ import annotations

import copy
import statistics
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from tunebench.grid.evaluation import PROBE_ROWS, Record, finished, hosts_part, model_of
from tunebench.grid.tasks import load_task
from tunebench.networks.activations import forward
from tunebench.plugins import load_registry
from tunebench.results.cells import Job
from tunebench.selection.search import checked
from tunebench.selection.selector import Candidate
from tunebench.selection.tradeoff import Score
from tunebench.tuner import LogitEdit, Tuner, TuningTask

BATCH = 256
ROUNDS = 150
ROUND_SECONDS = 1e-4
"""Many short rounds instead of few long ones: most then fit between two interruptions by other processes."""


def time_cell(job: Job, record: Record) -> dict[str, Any]:
    """Tune the chosen parameters of ``record`` again, check the logits, and time the network beside its original.

    ``latency_us`` is the median of one forward of one sample in microseconds, ``latency_batch_us`` of a batch of 256;
    the ratios are medians over rounds of tuned / original.
    """
    torch.set_num_threads(1)
    with hosts_part():
        registry = load_registry(job.plugins, only=job.owners)
        spec, device = model_of(registry, job), torch.device(job.device)
        task = load_task(job.original, spec, job.cell.targets, job.cell.tuner, device)
        tuner = registry.tuner(job.cell.tuner)
    model = tuned_again(task, tuner, record, job.options.budget)
    if model is None:
        return {"key": job.key, "status": "mismatch", "reason": "tuned again, the network gives other logits"}
    original = copy.deepcopy(task.model)  # a copy, so that the row of `original` shows the noise of this very timing
    single, single_ratio = in_turn(model, original, task.x_valid[:1])
    batch, batch_ratio = in_turn(model, original, task.x_valid[:BATCH])
    return {
        "key": job.key,
        "status": "ok",
        "latency_us": single,
        "latency_ratio": single_ratio,
        "latency_batch_us": batch,
        "latency_batch_ratio": batch_ratio,
    }


def tuned_again(task: TuningTask, tuner: Tuner, record: Record, budget: float) -> nn.Module | None:
    """The network of the chosen parameters of ``record``; None where it gives other logits than it gave then."""
    torch.manual_seed(task.seed)
    model = rebuilt(task, tuner, record["points"]["plain"][str(budget)])
    probe = torch.tensor(record["probe"], dtype=torch.float64)
    seen = forward(model, task.x_valid[:PROBE_ROWS]).double().cpu()
    return model if torch.allclose(seen, probe, rtol=1e-3, atol=1e-3) else None


def rebuilt(task: TuningTask, tuner: Tuner, chosen: Record) -> nn.Module:
    """The network of a cell's chosen point, from its parameters."""
    if chosen["fell_back"]:
        output: nn.Module | LogitEdit = LogitEdit.of_target(task)
    else:
        output = checked(tuner.tune(task, dict(chosen["params"]), tuner.prepare(task)), task)
        if chosen["scale"] is not None and isinstance(output, LogitEdit):
            output = output.scaled(chosen["scale"])
    return finished(task, Candidate(chosen["trial"], {}, output, Score(0, 0, 0, 0), shift=chosen["shift"]))


def in_turn(tuned: nn.Module, original: nn.Module, x: Tensor) -> tuple[float, float]:
    """Median microseconds of ``tuned(x)``, and the median over rounds of its ratio to ``original(x)``."""
    timers = [Timer("model(x)", globals={"model": m, "x": x}, num_threads=1) for m in (tuned, original)]
    with torch.inference_mode():
        seconds = timers[1].timeit(10).mean
        number = max(1, int(ROUND_SECONDS / seconds))
        turns = min(ROUNDS, max(15, int(1 / (number * seconds))))  # two seconds or so, unless the network is very slow
        rounds = []
        for turn in range(turns):
            order = (0, 1) if turn % 2 else (1, 0)  # who goes first takes turns too
            times = {which: timers[which].timeit(number).mean for which in order}
            rounds.append((times[0], times[1]))
    return statistics.median(a for a, _ in rounds) * 1e6, statistics.median(a / b for a, b in rounds)
