"""From names to work: a suite with everything resolved, its originals, its cells, the lock file that says so."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tunebench.datasets import Dataset, Place, expand_datasets, holdout, open_dataset
from tunebench.errors import UsageError
from tunebench.grid.preparation import Absent
from tunebench.grid.suite import Suite
from tunebench.grid.targets import check_targets, resolve_protect, resolve_targets
from tunebench.networks import originals
from tunebench.networks.compressed import network_of
from tunebench.networks.models import ModelSpec, expand_models, offered_models
from tunebench.networks.originals import OriginalKey
from tunebench.networks.recipes import Recipe, find_recipe
from tunebench.plugins import Registry, load_registry
from tunebench.results.cells import Cell, Job, cell_inputs, common_inputs, place_name
from tunebench.results.records import MOST_CELLS
from tunebench.results.store import Store
from tunebench.selection.selector import SearchOptions
from tunebench.source import PluginFile


@dataclass(frozen=True)
class RunOptions:
    """How to run a suite; none of it changes a result."""

    out: Path
    jobs: int = 1
    place: Place = field(default_factory=lambda: Place(None))
    plugins: tuple[PluginFile, ...] = ()
    device: str = "cpu"
    retry_failed: bool = False
    no_cache: bool = False
    explain: bool = False
    executor: str = "processes"
    latency: bool = True
    """Whether to measure latency after the grid."""
    memory: int | None = None
    """Limit of one cell in bytes; None: the machine's memory divided by the number of jobs."""


def bytes_of(text: str) -> int:
    """Bytes of a size such as ``500M`` or ``2G``; UsageError for anything else."""
    match = re.fullmatch(r"([1-9]\d{0,14})([KMGT]?)B?", text.strip().upper(), re.ASCII)
    if not match:
        raise UsageError(f"{text!r} is not a size; write 500M or 2G")
    return min(int(match[1]) << 10 * " KMGT".index(match[2] or " "), 2**62)


@dataclass
class Plan:
    """A suite with every name resolved."""

    suite: Suite
    registry: Registry
    datasets: dict[str, Dataset]
    models: dict[str, ModelSpec]
    tuners: list[str]
    architectures: dict[tuple[str, str], str] = field(default_factory=dict)
    """What keys say of a network for a data set, where it was looked at in a worker."""
    unbuilt: dict[tuple[str, str], str] = field(default_factory=dict)
    """Why a network cannot be built for a data set."""
    recipe: Recipe | None = None
    """That of networks which come with their weights; None: what the suite says."""
    failures: dict[OriginalKey, Absent] = field(default_factory=dict)
    """Why there is no original."""

    def options(self) -> SearchOptions:
        """What each search may spend."""
        suite = self.suite
        return SearchOptions(
            suite.trials,
            suite.budget,
            suite.margin,
            suite.protocol,
            suite.confidence,
            suite.recall,
            max_steps=suite.max_steps,
            protect=protected(suite, self.datasets.values()),
            synapse_layers=suite.synapse_layers,
            max_new_params=suite.max_new_params,
            max_weight=suite.max_weight,
        )

    def originals(self) -> Iterator[OriginalKey]:
        """The keys of all originals."""
        for dataset in self.datasets.values():
            for spec in self.models.values():
                recipe = self.recipe or recipe_of(self.suite, dataset, spec)
                seen = self.architectures.get((dataset.name, spec.name))
                first = originals.original_key(dataset, spec, recipe, self.suite.protocol, 0, seen)  # type: ignore[arg-type]
                for seed in range(self.suite.seeds):
                    yield replace(first, seed=seed, max_hidden=self.suite.max_hidden)


def make_plan(suite: Suite, options: RunOptions) -> Plan:
    """Resolve every name of ``suite``; UsageError or DataError for what does not exist."""
    registry = load_registry(options.plugins)
    tuners = registry.select(suite.tuners)
    offered, sources = offered_models(registry), registry.named("tunebench_datasets")
    models = {name: network_of(name, registry) for name in expand_models(suite.models, offered)}
    named = expand_datasets(suite.datasets, sources)
    datasets = {name: open_dataset(name, options.place, sources) for name in named}
    places = [check_targets(suite.targets, d.class_names, d.name, measured(d, suite)) for d in datasets.values()]
    cells = sum(places) * len(models) * len(tuners) * suite.seeds
    if cells > MOST_CELLS:
        raise UsageError(
            f"that is a grid of {cells:,} cells, more than {MOST_CELLS:,}; run it in parts, by data set say"
        )
    protected(suite, datasets.values())
    if options.executor != "processes":
        check_paths(datasets)
    for dataset, spec in itertools.product(datasets.values(), models.values()):
        recipe_of(suite, dataset, spec)  # refuses one that was never published for a data set
    return Plan(suite, registry, datasets, models, tuners)


def protected(suite: Suite, datasets: Iterable[Dataset]) -> str:
    """What ``suite.protect`` means, as options hold it; UsageError where that differs between data sets."""
    meant = {
        d.name: resolve_protect(suite.protect, d.class_names, d.name, suite.targets, measured(d, suite))
        for d in (datasets if suite.protect else ())
    }
    first = next(iter(meant.values()), "")
    for name, text in meant.items():
        if text != first:
            raise UsageError(f"protect means {first} in {next(iter(meant))} and {text} in {name}; run them one by one")
    return first


def recipe_of(suite: Suite, dataset: Dataset, spec: ModelSpec) -> Recipe:
    """How the originals of one network are trained on one data set."""
    iterations = dataset.source.paper_iterations
    return find_recipe(suite.recipe, iterations, dataset.name, dataset.train_size, spec.recipe)


def measured(dataset: Dataset, suite: Suite) -> dict[str, list[int]]:
    """Samples per class of the test split, and of validation where it is held out: the same numbers for every seed."""
    labels, train = {"test": dataset.numbered("test")}, dataset.numbered("train")
    if suite.protocol == "holdout":
        own = train[dataset.train_size :]
        labels["validation"] = own if len(own) else train[holdout(torch.from_numpy(train), 0)[1].numpy()]
    return {split: np.bincount(y, minlength=dataset.classes).tolist() for split, y in labels.items()}


def check_paths(names: Iterable[str]) -> None:
    """UsageError for a data set whose path another machine cannot know."""
    for name in names:
        kind, colon, path = name.partition(":")
        if colon and not Path(path).expanduser().is_absolute():
            raise UsageError(f"data set {name!r} is relative to this folder; on a cluster write {kind}:/ and the rest")


def make_jobs(plan: Plan, records: dict[OriginalKey, dict[str, Any]], options: RunOptions) -> Iterator[Job]:
    """All cells of the grid in sorted order, targets resolved."""
    search = plan.options()
    digests = {name: plan.registry.digest(name) for name in plan.tuners}
    plugins = {tuner: plan.registry.plugin_of(tuner) for tuner in plan.tuners}
    sources = {name: plan.registry.owners_of("tunebench_datasets", name) for name in plan.datasets}
    by_place: dict[tuple[str, str], list[OriginalKey]] = {}
    for key in (*records, *plan.failures):
        by_place.setdefault((key.dataset, key.model), []).append(key)
    for (dataset, model), keys in by_place.items():
        place = f"{dataset} {model}"
        names = plan.datasets[dataset].class_names
        known = [records[key] for key in keys if key in records] or [unknown_original(len(names))]
        tested = np.bincount(plan.datasets[dataset].numbered("test"), minlength=len(names))
        for target in resolve_targets(plan.suite.targets, known, names, place, tested.tolist()):
            for tuner in plan.tuners:
                for key in sorted(keys, key=lambda key: key.seed):
                    cell = Cell(dataset, model, target, tuner, key.seed)
                    inputs = cell_inputs(cell, key, search, digests[tuner])
                    yield Job(
                        cell,
                        key,
                        search,
                        inputs,
                        options.plugins,
                        tuple(dict.fromkeys((plugins[tuner], *plan.models[model].owners))),
                        options.device,
                        options.place,
                        plan.models[model].file,
                        sources[dataset],
                    )


def unknown_original(classes: int) -> dict[str, Any]:
    """Stands for originals that there are not: no class is weaker than another, so that the first ones are named."""
    return {"valid_hits": [0] * classes, "valid_totals": [1] * classes}


def lock(store: Store, plan: Plan, jobs: Sequence[Job]) -> None:
    """Write down the suite with its targets, tuners and data resolved."""
    targets: dict[str, list[str]] = {}
    for job in jobs:
        seen = targets.setdefault(place_name(job.cell.dataset, job.cell.model), [])
        if job.cell.target not in seen:
            seen.append(job.cell.target)
    protect = [part for part in plan.options().protect.split(",") if part]
    named: dict[str, set[str]] = {}
    for job in jobs:
        named.setdefault(job.cell.dataset, set()).add(job.original.recipe.name)
    recipes = {dataset: " and ".join(sorted(names)) for dataset, names in named.items()}
    store.write_lock(
        {
            "suite": asdict(plan.suite)
            | {"datasets": list(plan.datasets), "models": list(plan.models), "protect": protect},
            "tuners": plan.tuners,
            "targets": targets,
            "recipes": recipes,
            "data": {name: dataset.checksum for name, dataset in plan.datasets.items()},
            "class_names": {name: list(dataset.class_names) for name, dataset in plan.datasets.items()},
            "inputs": common_inputs(jobs),
        }
    )
