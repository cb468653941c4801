"""The serial pass after the grid: original and tuned network timed in turn, one thread, in one process."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Sequence
from time import perf_counter as timer
from typing import Any

import torch
from torch import Tensor, nn

from tunebench.grid.evaluation import hosts_part, model_of
from tunebench.grid.finishing import rebuilt
from tunebench.grid.provenance import seed_all, settle
from tunebench.grid.scoring import PROBE_ROWS, Record
from tunebench.grid.tasks import load_task
from tunebench.networks.activations import forward
from tunebench.networks.architecture import plain
from tunebench.plugins import load_registry
from tunebench.results.cells import Job
from tunebench.selection.budgets import Demand
from tunebench.selection.constraints import constrained
from tunebench.tuner import Tuner, TuningTask

BATCH = 256
LEAST_ROUNDS, ROUNDS = 15, 150
ROUND_SECONDS = 1e-4
"""Many short rounds instead of few long ones: most then fit between two interruptions by other processes."""
WARM_UP = 10
"""Forwards before the first round."""
NARROW = 0.01
"""Width of the interval of a ratio at which it is known well enough."""


def time_cell(job: Job, record: Record, twin: Record | None = None, alone: bool = True) -> Record | None:
    """Tune the chosen parameters of ``record`` again, check the logits, and time the network beside its original.

    ``latency_us`` is the median of one forward of one sample in microseconds, ``latency_batch_us`` of a batch of 256;
    the ratios are medians over rounds of tuned / original. ``twin`` is the measurement of a network with the structure
    of the same original (``like_original``): another such network is not timed again, but takes its figures. None
    for any other where other work runs on this machine, so that it is not ``alone``.
    """
    settle()
    with hosts_part():
        registry = load_registry(job.plugins, only=job.owners)
        spec, device = model_of(registry, job), torch.device(job.device)
        task = load_task(job.original, spec, job.cell.targets, job.cell.tuner, device)
        tuner = registry.tuner(job.cell.tuner)
    model = tuned_again(constrained(task, job.options), tuner, record, job.options.demand)
    if model is None:
        return {"key": job.key, "status": "mismatch", "reason": "tuned again, the network gives other logits"}
    original = copy.deepcopy(task.model)  # a copy, so that the row of `original` shows the noise of this very timing
    like_original = structure(model) == structure(original)
    if like_original and twin is not None:
        return {**twin, "key": job.key}
    if not alone:
        return None
    single, single_ratio = in_turn(model, original, task.x_valid[:1])
    batch, batch_ratio = in_turn(model, original, task.x_valid[:BATCH])
    return {
        "key": job.key,
        "status": "ok",
        "latency_us": single,
        "latency_ratio": single_ratio,
        "latency_batch_us": batch,
        "latency_batch_ratio": batch_ratio,
        "like_original": like_original,
    }


def tuned_again(task: TuningTask, tuner: Tuner, record: Record, demand: Demand) -> nn.Module | None:
    """The network of the chosen parameters of ``record``; None where it gives other logits than it gave then."""
    seed_all(task.seed, task.device)
    model = rebuilt(task, tuner, record["points"]["plain"][str(demand)])
    probe = torch.tensor(record["probe"], dtype=torch.float64)
    seen = forward(model, task.x_valid[:PROBE_ROWS]).double().cpu()
    return model if torch.allclose(seen, probe, rtol=1e-3, atol=1e-3) else None


def structure(model: nn.Module) -> list[Any]:
    """What a network computes, but for the values of its weights: operators, their settings, shapes, what was hooked.

    Networks of one structure take the same time.
    """
    modules = [
        (name, type(module), module.extra_repr(), len(module._forward_pre_hooks), len(module._forward_hooks))
        for name, module in model.named_modules()
    ]
    settings = [
        (key, plain(value) if isinstance(value, str | int | float | tuple) else type(value))
        for module in model.modules()
        for key, value in sorted(vars(module).items())
    ]
    tensors = [(name, t.shape, t.stride(), t.dtype) for name, t in model.state_dict().items()]
    return [modules, settings, tensors]


def in_turn(tuned: nn.Module, original: nn.Module, x: Tensor) -> tuple[float, float]:
    """Median microseconds of ``tuned(x)``, and the median over rounds of its ratio to ``original(x)``.

    Rounds go on until the interval of the ratio is narrow enough.
    """
    with torch.inference_mode():
        seconds = [seconds_of(model, x, WARM_UP) for model in (tuned, original)][1]
        number = max(1, int(ROUND_SECONDS / seconds))
        turns = min(ROUNDS, max(LEAST_ROUNDS, int(1 / (number * seconds))))  # two seconds or so, unless it is very slow
        rounds: list[tuple[float, float]] = []
        while len(rounds) < turns and not settled([a / b for a, b in rounds]):
            first = seconds_of(original, x, number) if len(rounds) % 2 else None  # who goes first takes turns too
            mine = seconds_of(tuned, x, number)
            rounds.append((mine, seconds_of(original, x, number) if first is None else first))
    return statistics.median(a for a, _ in rounds) * 1e6, statistics.median(a / b for a, b in rounds)


def seconds_of(model: nn.Module, x: Tensor, number: int) -> float:
    """Mean seconds of ``number`` forwards, from an idle device to an idle one."""
    finish(x.device)
    start = timer()
    for _ in range(number):
        model(x)
    finish(x.device)
    return (timer() - start) / number


def finish(device: torch.device) -> None:
    """Wait for what a GPU was given to do; torch's own timer does it too, and takes a tenth of a second to import."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def settled(ratios: Sequence[float]) -> bool:
    """Whether the 95 % interval of the median of ``ratios``, from their ranks alone, is as narrow as `NARROW`."""
    count = len(ratios)
    if count < LEAST_ROUNDS:
        return False
    ordered, reach = sorted(ratios), 0.98 * math.sqrt(count)
    low, high = ordered[max(0, math.floor(count / 2 - reach))], ordered[min(count - 1, math.ceil(count / 2 + reach))]
    return high - low <= NARROW * ordered[count // 2]
