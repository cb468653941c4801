"""The paper's grid as suites: run them under both protocols, and read every cell back as a `Run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunebench.datasets import Place, open_dataset
from tunebench.errors import DataError
from tunebench.grid import runner
from tunebench.grid.observer import Observer
from tunebench.grid.plan import RunOptions
from tunebench.grid.suite import PROTOCOLS, Suite
from tunebench.naming import path_part, unknown_name
from tunebench.paper.published import dataset_names
from tunebench.results.metrics import count, per_class_accuracy
from tunebench.results.predictions import predictions_of
from tunebench.results.reading import read_records
from tunebench.results.store import Store

BUDGET = 0.2
"""OA budget of both protocols, percentage points: about what the paper's choices cost it."""

Run = dict[str, Any]
"""One seed of one tuner: ``seed, original, test`` (each an `OperatingPoint`), ``cost, params, scale``, the accuracies
``per_class`` and ``original_per_class``, and ``latency_us`` and ``latency_ratio`` where they were measured."""
Place4 = tuple[str, str, str, str]
"""Data set, model, target, tuner."""
Runs = dict[tuple[str, Place4], list[Run]]
"""Runs by column (those of `tunebench.paper.compare.COLUMNS`) and place, ordered by seed."""


@dataclass(frozen=True)
class Part:
    """A block of the paper's grid: tuners and targets on one data set and network."""

    dataset: str
    model: str
    targets: tuple[str, ...]
    tuners: tuple[str, ...]
    seeds: int
    recipe: str = "paper"

    def suite(self, protocol: str, seeds: int | None, trials: int) -> Suite:
        """The suite that runs this part."""
        return Suite(
            name=f"paper-{self.dataset}",
            datasets=(self.dataset,),
            models=(self.model,),
            tuners=self.tuners,
            targets=self.targets,
            seeds=seeds or self.seeds,
            trials=trials,
            budget=BUDGET,
            protocol=protocol,
            recipe=self.recipe,
            timeout="30m",
        )

    def folder(self, out: Path, protocol: str) -> Path:
        """Where its cells lie; a run folder of its own, readable by ``tunebench leaderboard``."""
        return out / "runs" / protocol / path_part("-".join((self.dataset, self.model, *self.targets)))


PAIR = ("original", "sj", "smvt-sj")
ALONE = ("original", "smvt-sj")
PARTS = (
    Part("mnist", "model1", ("5",), (*PAIR, "sj-k3", "sj-k4", "sj-k5", "cw-p", "cs-p"), 5),
    Part("mnist", "model1", ("3", "0"), ALONE, 5),
    Part("mnist", "model2", ("5",), ALONE, 5),
    Part("fashion-mnist", "model1", ("6",), PAIR, 3),
    Part("svhn", "model1", ("8",), PAIR, 3),
    Part("emnist-balanced", "model1", ("41",), PAIR, 3),
    Part("npz:emnist47-reduced.npz", "model1", ("41",), PAIR, 3, "converged"),
)
"""What the published tables need; the first part of a data set is its main comparison."""


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    out: Path
    datasets: tuple[str, ...] = ()
    seeds: int | None = None
    trials: int = 15
    place: Place = field(default_factory=lambda: Place(None))
    jobs: int = 1

    def options(self, part: Part, protocol: str) -> RunOptions:
        """How to run ``part``."""
        return RunOptions(out=part.folder(self.out, protocol), jobs=self.jobs, place=self.place)


def split_datasets(request: Request) -> tuple[list[str], dict[str, str]]:
    """The asked-for data sets that are here, and of the paper's others why they are not run.

    UsageError for a name that is not the paper's, DataError when none is here.
    """
    for name in request.datasets:
        if name not in dataset_names():
            raise unknown_name("data set of the paper", name, dataset_names())
    here: list[str] = []
    absent: dict[str, str] = {}
    for name in dataset_names():
        if request.datasets and name not in request.datasets:
            absent[name] = "not asked for"
            continue
        try:
            open_dataset(name, request.place)
        except DataError as exc:
            absent[name] = "not on this machine"
            problem = exc
        else:
            here.append(name)
    if not here:
        raise problem
    return here, absent


def parts_of(datasets: Iterable[str]) -> Iterator[tuple[str, Part]]:
    """Every protocol and part to run."""
    names = set(datasets)
    for protocol in PROTOCOLS:
        for part in PARTS:
            if part.dataset in names:
                yield protocol, part


def run_parts(request: Request, datasets: Sequence[str], observer: Observer) -> Counter[str]:
    """Run or resume all parts; returns the number of cells of each status."""
    counts: Counter[str] = Counter()
    for protocol, part in parts_of(datasets):
        suite = part.suite(protocol, request.seeds, request.trials)
        counts.update(runner.run(suite, request.options(part, protocol), observer))
    return counts


def collect(request: Request, datasets: Sequence[str], observer: Observer) -> Runs:
    """The ok cells of the last run of all parts; what is unusable is said, not counted."""
    runs: Runs = {}
    for protocol, part in parts_of(datasets):
        store = Store(part.folder(request.out, protocol))
        lock = store.lock()
        assert lock is not None, "the part was run"
        notes: list[str] = []
        records, times = read_records(store, lock["inputs"], notes)
        for note in notes:
            observer.warn(note)
        for cell, record in records.items():
            if record["status"] == "ok":
                place = (cell.dataset, cell.model, cell.target, cell.tuner)
                runs.setdefault((protocol, place), []).append(run_of(record, times.get(cell, {})))
    for found in runs.values():
        found.sort(key=lambda run: int(run["seed"]))
    return runs


def run_of(record: dict[str, Any], times: dict[str, Any]) -> Run:
    """What the tables need of one ok cell."""
    point = record["points"]["plain"][str(BUDGET)]
    labels, original, tuned = predictions_of(record, "plain", str(BUDGET))
    return {
        "seed": record["cell"]["seed"],
        "original": {name: value for name, value in record["original"].items() if name != "valid"},
        "test": point["test"],
        "cost": point["cost"],
        "params": point["params"],
        "scale": point["scale"],
        "original_per_class": accuracies(labels, original, record["classes"]),
        "per_class": accuracies(labels, tuned, record["classes"]),
        **{name: times[name] for name in ("latency_us", "latency_ratio") if name in times},
    }


def accuracies(labels: Any, predictions: Any, classes: int) -> list[float]:
    """Recall of every class as plain floats; the paper's data sets have samples of each in test."""
    return [float(share) for share in per_class_accuracy(count(labels, predictions, classes))]
