"""What ``run --dry-run`` says: the grid, and how long it will take here.

A cell that ran on this machine before takes what it took (`tunebench.grid.pace`). For any other one a training step of
its network is timed here and now, and what tuners took per trial on published boards is read off at so much work: that
of an epoch for tuners that train the network, the number of samples for those that take it as it is.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib import resources
from statistics import median
from typing import Any

import torch
from torch import nn

from tunebench.grid import pace
from tunebench.grid.observer import Silent
from tunebench.grid.plan import Plan, RunOptions, make_plan, measured
from tunebench.grid.preparation import Origin, architectures, attempted, origin_of
from tunebench.grid.provenance import settle
from tunebench.grid.suite import Suite, seconds_of
from tunebench.grid.targets import check_targets
from tunebench.networks.compressed import steps_for
from tunebench.networks.losses import CrossEntropy
from tunebench.networks.originals import OriginalKey
from tunebench.networks.probe import built
from tunebench.networks.spec import ModelSpec
from tunebench.networks.training import sgd
from tunebench.workers import isolation
from tunebench.workers.engines import Engine, LocalEngine

BATCH = 64
ROUND = 4
"""Steps that are timed together: some things are done once for all of them."""
CONVERGED = 20_000
"""Steps until a recipe without a number of steps ends, on the boards of MNIST and Fashion-MNIST."""
START, CELL, PASSES = 4.0, 0.15, 10
"""Seconds of a run and of a cell for themselves, and steps for every batch of validation: test is scored too, for
every budget and variant.
"""

Place = tuple[str, str]
"""Names of a data set and a network."""


@dataclass(frozen=True)
class Reference:
    """What tuners took on published boards, per trial, and how much work those boards are."""

    work: tuple[float, ...]
    """Seconds of an epoch of the board's network, ascending: what tuners that train it depend on."""
    samples: tuple[int, ...]
    """Training samples of the board: what tuners depend on that take the network's hidden units as they are."""
    seconds: Mapping[str, tuple[float, ...]]
    """Of one trial, by tuner, one for each of ``work``."""
    trains: frozenset[str]
    """The tuners that train the network."""
    untrainable: frozenset[str]
    """Compressions whose networks they pass over."""

    def trial(self, tuner: str, work: float, samples: int) -> float:
        """Seconds of a trial where an epoch of ``samples`` takes ``work`` seconds: a power law through two boards.

        A tuner that was on no board takes what half of them take.
        """
        if tuner not in self.seconds:
            return median(self.trial(name, work, samples) for name in self.seconds)
        here, (low, high) = (work, self.work) if tuner in self.trains else (float(samples), self.samples)
        a, b = self.seconds[tuner]
        power = min(max(math.log(b / a) / math.log(high / low), 0.0), 1.0)
        return float(math.exp((math.log(a) + math.log(b) - power * math.log(low * high)) / 2) * here**power)

    def passes_over(self, tuner: str, spec: ModelSpec) -> bool:
        """Whether a tuner has nothing to train in a network."""
        return tuner in self.trains and not self.untrainable.isdisjoint(compressions(spec))


@cache
def reference() -> Reference:
    """Made by ``leaderboards/paces.py``."""
    found = json.loads(resources.files("tunebench.grid").joinpath("paces.json").read_text("utf-8"))
    return Reference(
        tuple(found["work"]),
        tuple(found["samples"]),
        {name: tuple(pair) for name, pair in found["seconds"].items()},
        frozenset(found["trains"]),
        frozenset(found["untrainable"]),
    )


def compressions(spec: ModelSpec) -> list[str]:
    """Names of the compressions that a network is made by."""
    return [] if spec.made is None else [*compressions(spec.made.parent), spec.made.compression.name]


def describe(suite: Suite, options: RunOptions) -> str:
    """The grid of ``suite`` and an estimate, without training or writing anything."""
    with closing(LocalEngine(options.jobs)) as engine:
        engine.warm_up(now=False)  # before any plugin can change the environment that workers see
        plan = make_plan(suite, options)
        architectures(plan, engine, Silent(), options)
        steps = steps_here(plan, engine, options)
    keys = list(plan.originals())
    missing = [key for key in keys if not key.folder.is_dir()]
    targets = {name: targets_of(plan, name) for name in plan.datasets}
    cells = sum(targets[key.dataset] for key in keys) * len(plan.tuners)
    known = pace.known()
    names = [pace.name_of(*place, tuner) for place in steps for tuner in plan.tuners]
    trained = sum(training(key, plan, steps) for key in missing)
    computed = sum(targets[place[0]] * block(plan, place, step, options.latency) for place, step in steps.items())
    seconds = START + sum(
        work / max(1, min(options.jobs, pieces)) for work, pieces in ((trained, len(missing)), (computed, cells))
    )
    return "\n".join(
        [
            f"data sets  {', '.join(plan.datasets)}",
            f"models     {', '.join(plan.models)}",
            f"targets    {', '.join(suite.targets)}",
            f"tuners     {', '.join(plan.tuners)}",
            f"seeds      {suite.seeds}, trials {suite.trials}, budget {suite.budget:g}, protocol {suite.protocol}",
            f"originals  {len(keys)}, to train: {len(missing)} ({sum(steps_of(key, plan) for key in missing):,} steps)",
            *(f"fails      {' '.join(place)}: {why}" for place, why in plan.unbuilt.items()),
            f"cells      {cells}",
            f"estimate   about {told(seconds)} with -j {options.jobs}; "
            f"{sum(name in known for name in names)} of {len(names)} paces are known from earlier runs here, the rest "
            "is reckoned from published boards; nothing was run",
        ]
    )


def told(seconds: float) -> str:
    """Seconds, or minutes where there are many."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def block(plan: Plan, place: Place, step: float, latency: bool) -> float:
    """Seconds of all cells of one data set, network and target; ``step`` is a training step of the network."""
    known, trials, total = pace.known(), plan.suite.trials, 0.0
    for name in plan.tuners:
        found = known.get(pace.name_of(*place, name)) or guess(plan, place, name, step)
        searches = bool(plan.registry.tuner(name).search_space())
        total += plan.suite.seeds * found.at(trials, searches)
        if latency:  # of the first seed: one trial again
            total += CELL + found.search / found.trials
    return total


def guess(plan: Plan, place: Place, tuner: str, step: float) -> pace.Pace:
    """The pace of cells that never ran here."""
    dataset = plan.datasets[place[0]]
    valid = sum(measured(dataset, plan.suite)["validation" if plan.suite.protocol == "holdout" else "test"])
    size, rest = dataset.train_size, CELL + PASSES * step * valid / BATCH
    if reference().passes_over(tuner, plan.models[place[1]]):
        return pace.Pace(CELL, 0.0, 1)
    return pace.Pace(rest, reference().trial(tuner, step * size / BATCH, size), 1)


def targets_of(plan: Plan, dataset: str) -> int:
    """How many targets a data set will have."""
    found = plan.datasets[dataset]
    return check_targets(plan.suite.targets, found.class_names, dataset, measured(found, plan.suite))


def training(key: OriginalKey, plan: Plan, steps: Mapping[Place, float]) -> float:
    """Seconds until an original is there."""
    return steps_of(key, plan) * steps.get((key.dataset, key.model), 0.0)


def steps_of(key: OriginalKey, plan: Plan) -> int:
    """Training steps of an original, and those that its compressions may take, but for searches."""
    each = steps_for(plan.datasets[key.dataset].train_size)
    return (key.recipe.steps or CONVERGED) + each * len(compressions(plan.models[key.model]))


def steps_here(plan: Plan, engine: Engine, options: RunOptions) -> dict[Place, float]:
    """Seconds of a training step of every network that can be built, measured in workers."""
    work = [
        ((dataset.name, spec.name), origin_of(plan, spec, options), dataset.shape, dataset.classes)
        for dataset, spec in itertools.product(plan.datasets.values(), plan.models.values())
        if (dataset.name, spec.name) not in plan.unbuilt
    ]
    done = attempted(engine, step_seconds, work, seconds_of(plan.suite.timeout))
    return {place: seconds or 0.0 for (place, *_), seconds, _ in done}


def step_seconds(work: tuple[Place, Origin, tuple[int, ...], int]) -> float:
    """Worker's side of `steps_here`; of what is compressed the network before."""
    isolation.silence()
    settle()
    _, origin, shape, classes = work
    return step_of(built(root(origin.spec()), shape, classes), shape)


def step_of(model: nn.Module, shape: tuple[int, ...], least: float = 0.05) -> float:
    """Seconds of a training step as tuners take it, over ``least`` seconds of them; trains ``model``."""
    batch = torch.randn(BATCH, *shape), torch.zeros(BATCH, dtype=torch.int64)
    return quickest(lambda: sgd(model, [batch] * ROUND, CrossEntropy(), 1e-6), least) / ROUND


def root(spec: ModelSpec) -> ModelSpec:
    """The network that all compressions of ``spec`` began with."""
    return spec if spec.made is None else root(spec.made.parent)


def quickest(call: Callable[[], Any], least: float) -> float:
    """Least seconds of ``call`` over ``least`` seconds of calls, three of them at the least."""
    call()
    found: list[float] = []
    started = time.perf_counter()
    while len(found) < 3 or time.perf_counter() - started < least:
        before = time.perf_counter()
        call()
        found.append(time.perf_counter() - before)
    return min(found)
