"""What ``run --dry-run`` says: the grid, and how long it will take here.

A cell that ran on this machine before takes what it took (`tunebench.grid.pace`). For any other one training step of
its network is timed here and now, and what tuners took per trial on the published boards is read off at so many steps.
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
from torch.nn.functional import cross_entropy

from tunebench.grid import pace
from tunebench.grid.observer import Silent
from tunebench.grid.plan import Plan, RunOptions, make_plan, measured
from tunebench.grid.preparation import Origin, architectures, attempted, origin_of
from tunebench.grid.suite import Suite, seconds_of
from tunebench.grid.targets import check_targets
from tunebench.networks.originals import OriginalKey
from tunebench.networks.probe import built
from tunebench.networks.spec import ModelSpec
from tunebench.workers import isolation
from tunebench.workers.engines import Engine, LocalEngine

BATCH = 64
CONVERGED = 20_000
"""Steps until a recipe without a number of steps ends, on the boards of MNIST and Fashion-MNIST."""
COMPRESSED = 2400
"""Steps of the parent that a compression takes at most, but for searches."""
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
    """Seconds of an epoch of the board's network, ascending."""
    seconds: Mapping[str, tuple[float, ...]]
    """Of one trial, by tuner, one for each of ``work``."""

    def trial(self, tuner: str, work: float) -> float:
        """Seconds of a trial where an epoch takes ``work`` seconds: a power law through the two nearest boards.

        A tuner that was on no board takes what half of them take.
        """
        if tuner not in self.seconds:
            return median(self.trial(name, work) for name in self.seconds)
        (low, high), (a, b) = self.work, self.seconds[tuner]
        power = min(max(math.log(b / a) / math.log(high / low), 0.0), 1.0)
        return float(math.exp((math.log(a) + math.log(b) - power * math.log(low * high)) / 2) * work**power)


@cache
def reference() -> Reference:
    """Made by ``leaderboards/paces.py``."""
    found = json.loads(resources.files("tunebench.grid").joinpath("paces.json").read_text("utf-8"))
    return Reference(tuple(found["work"]), {name: tuple(pair) for name, pair in found["seconds"].items()})


def describe(suite: Suite, options: RunOptions) -> str:
    """The grid of ``suite`` and an estimate, without training or writing anything."""
    plan = make_plan(suite, options)
    with closing(LocalEngine(options.jobs)) as engine:
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
            f"originals  {len(keys)}, to train: {len(missing)} ({sum(map(steps_of, missing)):,} steps)",
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
    rest = CELL + PASSES * step * valid / BATCH
    return pace.Pace(rest, reference().trial(tuner, step * dataset.train_size / BATCH), 1)


def targets_of(plan: Plan, dataset: str) -> int:
    """How many targets a data set will have."""
    found = plan.datasets[dataset]
    return check_targets(plan.suite.targets, found.class_names, dataset, measured(found, plan.suite))


def training(key: OriginalKey, plan: Plan, steps: Mapping[Place, float]) -> float:
    """Seconds until an original is there."""
    return steps_of(key) * steps.get((key.dataset, key.model), 0.0)


def steps_of(key: OriginalKey) -> int:
    """Training steps of an original, and of what is compressed the compression's."""
    return (key.recipe.steps or CONVERGED) + COMPRESSED * key.model.count("+")


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
    torch.set_num_threads(1)
    _, origin, shape, classes = work
    model = built(root(origin.spec()), shape, classes).train()
    x, y = torch.randn(BATCH, *shape), torch.zeros(BATCH, dtype=torch.int64)

    def step() -> None:
        model.zero_grad()
        cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]

    return quickest(step)


def root(spec: ModelSpec) -> ModelSpec:
    """The network that all compressions of ``spec`` began with."""
    return spec if spec.made is None else root(spec.made.parent)


def quickest(call: Callable[[], Any], least: float = 0.05) -> float:
    """Least seconds of ``call`` over ``least`` seconds of calls, three of them at the least."""
    call()
    found: list[float] = []
    started = time.perf_counter()
    while len(found) < 3 or time.perf_counter() - started < least:
        before = time.perf_counter()
        call()
        found.append(time.perf_counter() - before)
    return min(found)
