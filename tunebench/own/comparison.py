"""The tuners side by side on one network of the user's own, in the engine that every grid runs in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from tunebench.datasets import Samples
from tunebench.errors import DataError, HostFault
from tunebench.grid.evaluation import failed, failure, scored, searched
from tunebench.grid.finishing import finished, rebuilt
from tunebench.grid.observer import Observer
from tunebench.grid.plan import Plan, RunOptions
from tunebench.grid.runner import check_protocol, local_engine, run_plan
from tunebench.grid.scoring import Record
from tunebench.grid.suite import OWN, Suite, check_demand
from tunebench.grid.targets import resolve_protect
from tunebench.grid.tasks import load_task, task_seed
from tunebench.naming import seed_of
from tunebench.networks.originals import ensure_original, materialise
from tunebench.networks.probe import built
from tunebench.networks.sites import survey
from tunebench.own.data import OwnData
from tunebench.own.network import OwnNetwork
from tunebench.plugins import Registry, load_registry
from tunebench.results.cells import Cell
from tunebench.results.store import Store
from tunebench.selection.budgets import Demand, demand_of
from tunebench.selection.constraints import check_limits, constrained
from tunebench.selection.search import Selection
from tunebench.selection.selector import SearchOptions
from tunebench.selection.variants import Variant
from tunebench.tuner import TuningTask

FROZEN = ("logit-bias", "smvt-sj-exact", "last-layer", "logit-vector", "refit", "refit-sparse", "refit-all")
"""Tuners that work on frozen activations, in the order of how much they change."""
TRAINING = ("weighted-finetune", "dwb-loss", "retrain", "lift")
"""Tuners that train the network; used by default where there are samples that it was trained on."""
AUTO = "auto"
"""The tuners that fit, where names are given."""
LARGE = 2**20
"""Numbers in the Hessian's blocks of a convex refit, rows times units squared, from which on it takes minutes."""
FEWEST = 5
"""Target samples to choose on without which nothing can be said."""


@dataclass(frozen=True)
class Wish:
    """What the user asks for."""

    target: int
    tuners: tuple[str, ...] = ()
    """Names or globs; ``auto``, or none at all: those that fit."""
    budget: float = 0.5
    """Percentage points of OA that may be lost."""
    recall: float | None = None
    """The least TA, as a fraction, instead of a budget."""
    confidence: float = 0.9
    """With which the promise of the network that is taken holds, whichever of the tuners made it."""
    trials: int = 30
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Those of `selection.constraints.LIMITS` that are given, as in a suite."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", float(self.budget))
        check_demand(self.budget, self.recall, self.confidence)
        check_limits(self.limits)

    @property
    def auto(self) -> bool:
        """Whether the tuners that fit are wanted."""
        return not self.tuners or AUTO in self.tuners

    @property
    def demand(self) -> Demand:
        """What a choice has to keep."""
        return demand_of(self.budget, self.recall)

    def confidence_each(self, tuners: Sequence[str]) -> float:
        """With which each of ``tuners`` has to be certified, so that the best of them may be picked (Bonferroni)."""
        return 1 - (1 - self.confidence) / max(1, len([name for name in tuners if name != "original"]))


@dataclass
class Comparison:
    """Records of all tuners on one network, by the tuner's name, the original's first."""

    wish: Wish
    names: tuple[str, ...]
    records: dict[str, Record]
    rebuild: Callable[[str, Variant], nn.Module] = field(repr=False)
    """Maps a tuner's name and a variant to the finished network of its choice at the budget."""
    task: TuningTask = field(repr=False)
    paths: tuple[str, ...] = ()
    """Where the samples lie that the figures are of, where they are files."""


def compare(network: OwnNetwork, data: OwnData, wish: Wish, options: RunOptions, observer: Observer) -> Comparison:
    """Run every tuner on the network as cells of a grid in ``options.out``, resumable as any other."""
    local = local_engine(options)
    local.warm_up(now=False)  # before any plugin can change the environment that all cells see
    registry, dataset, spec = load_registry(options.plugins), data.dataset, network.spec
    large = too_large(survey(built(spec, dataset.shape, len(data.names)), dataset.shape).hidden, len(data.names))
    tuners = chosen_tuners(registry, wish, data.trained_on, large)
    check_samples(data, wish.target)
    suite = Suite(
        name="own", datasets=(dataset.name,), models=(spec.name,), tuners=tuple(tuners),
        targets=(data.typed(wish.target),), seeds=1, trials=wish.trials, budget=wish.budget, recall=wish.recall,
        confidence=wish.confidence_each(tuners), protocol=OWN, **wish.limits,
    )  # fmt: skip
    plan = Plan(suite, registry, {dataset.name: dataset}, {spec.name: spec}, tuners, recipe=network.recipe)
    search_options = plan.options()
    store = Store(options.out)
    store.examine()
    check_protocol(store, suite, observer)
    materialise(dataset)
    (key,) = plan.originals()
    observer.stage("original", 1)
    ensure_original(key, spec)
    observer.step(spec.name)
    task = constrained(load_task(key, spec, (wish.target,), "original", torch.device(options.device)), search_options)
    require_numbers(task)
    with closing(local):
        run_plan(plan, options, observer, local, local)
    records = dict(stored(options, dataset.name, spec.name, wish.target, tuners))
    if "original" not in records:
        raise HostFault("this machine could not score the original; give the same command again: what is done is kept")
    records |= left_out(wish, tuners, large)

    def rebuild(tuner: str, variant: Variant) -> nn.Module:
        own = replace(task, seed=task_seed(key, task.targets, tuner))
        torch.manual_seed(own.seed)
        return rebuilt(own, registry.tuner(tuner), records[tuner]["points"][variant][str(wish.demand)])

    return Comparison(wish, data.names, records, rebuild, task, data.paths)


def compare_here(task: TuningTask, names: tuple[str, ...], wish: Wish, trained_on: bool) -> Comparison:
    """The same in this process, without files: for a call from Python. A tuner that fails is a line, as in a run."""
    require_numbers(task)
    registry = load_registry()
    large = too_large(len(task.layer_of), task.classes)
    tuners = chosen_tuners(registry, wish, trained_on, large)
    confidence = wish.confidence_each(tuners)
    limits = {**wish.limits, "protect": resolve_protect(wish.limits.get("protect", ()), names, "valid", [])}
    options = SearchOptions(wish.trials, wish.budget, protocol=OWN, confidence=confidence, recall=wish.recall, **limits)
    task = constrained(task, options)
    records: dict[str, Record] = {}
    found: dict[str, Selection] = {}
    for name in sorted(tuners, key=lambda name: (name != "original", name)):
        own = replace(copy.deepcopy(task), seed=seed_of(task.seed, name))  # what one spoils is its own
        try:
            with torch.random.fork_rng(devices=[]):
                found[name] = searched(own, registry.tuner(name), options).at(wish.demand)
                records[name] = scored(own, found[name], Samples(own.x_valid, own.y_valid), options)
        except Exception as exc:
            records[name] = failed(exc)
    records |= left_out(wish, tuners, large)
    return Comparison(
        wish, names, records, lambda tuner, variant: finished(task, found[tuner].chosen[variant][wish.demand]), task
    )


def stored(
    options: RunOptions, dataset: str, model: str, target: int, tuners: Sequence[str]
) -> Iterator[tuple[str, Record]]:
    """The records of a run, the original's first."""
    store = Store(options.out)
    for tuner in sorted(tuners, key=lambda name: (name != "original", name)):
        record = store.get("cells", Cell(dataset, model, str(target), tuner, 0))
        if record is not None:
            yield tuner, record


def chosen_tuners(registry: Registry, wish: Wish, trained_on: bool, large: Collection[str]) -> list[str]:
    """The tuners to compare, the original among them; UsageError for a name that there is not."""
    fitting = set(FROZEN) | set(TRAINING if trained_on else ())
    default = fitting & registry.tuners.keys() - set(large) if wish.auto else ()
    return sorted({"original", *default, *registry.select([name for name in wish.tuners if name != AUTO])})


def too_large(units: int, classes: int) -> dict[str, str]:
    """The tuners that take minutes on a network with so many hidden units, and why."""
    rows = {"refit": 1, "refit-all": classes}
    return {
        name: f"takes minutes with {units:,} units: name it to run it"
        for name, count in rows.items()
        if count * units**2 > LARGE
    }


def left_out(wish: Wish, tuners: Sequence[str], large: Mapping[str, str]) -> dict[str, Record]:
    """What a report says of the tuners that were too large to be run without being asked for."""
    return {name: failure("skipped", why) for name, why in large.items() if wish.auto and name not in tuners}


def require_numbers(task: TuningTask) -> None:
    """DataError when the network gives logits for some sample that are no numbers."""
    for part, logits in (("fit", task.logits_train), ("choose", task.logits_valid)):
        broken = int((~logits.isfinite().all(1)).sum())
        if broken:
            raise DataError(
                f"the network gives NaN or infinite logits for {broken:,} of {len(logits):,} samples to {part} on; "
                "look at its weights, and whether inputs are scaled as in training"
            )


def check_samples(data: OwnData, target: int) -> None:
    """DataError when the target has too few samples on either side."""
    for part, labels in (("fit", data.dataset.numbered("train")), ("choose", data.dataset.numbered("test"))):
        count = int((labels == target).sum())
        if count < FEWEST:
            raise DataError(
                f"class {data.names[target]!r} has {count} samples to {part} on; give at least {FEWEST}, or name "
                "another class"
            )
