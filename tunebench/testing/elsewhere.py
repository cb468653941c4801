"""Checks where a run computes cells: each in a worker process with a run's memory limit, and ended when it hangs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tunebench.datasets import Place, open_dataset
from tunebench.errors import PluginError
from tunebench.grid.preparation import attempted
from tunebench.grid.provenance import settle
from tunebench.networks.models import find_model, offered_models
from tunebench.plugins import load_registry
from tunebench.source import PluginFile
from tunebench.testing.checks import Result, run_checks
from tunebench.testing.network_checks import NETWORK_CHECKS, NetworkSubject, seen_by_tuners
from tunebench.testing.subject import Subject
from tunebench.tuner import Tuner
from tunebench.workers import isolation
from tunebench.workers.engines import LocalEngine

TIMEOUT = 600.0
"""Seconds for all checks of one tuner or network, as a run gives to a cell."""


class TunerWork(NamedTuple):
    """A tuner by its place among those that ``what`` names; ``file`` where that is a file."""

    name: str
    what: str
    file: PluginFile | None
    place: int


class NetworkWork(NamedTuple):
    """A network by name, the data that it is checked on, and the plugins that may offer either."""

    name: str
    dataset: str
    place: Place
    plugins: tuple[PluginFile, ...]


class Report(NamedTuple):
    """How all checks of one tuner or network went."""

    name: str
    results: list[Result]
    remark: str = ""


def check_tuners(what: str) -> Iterator[Report]:
    """The reports of the tuners that ``what`` names: one, those of a glob, or those of a file."""
    with closing(worker()) as engine:
        file = PluginFile.read(Path(what)) if what.endswith(".py") or Path(what).is_file() else None
        names = [tuner.name for tuner in tuners_of(what, file)]
        yield from reports(engine, tuner_report, [TunerWork(n, what, file, i) for i, n in enumerate(names)])


def check_networks(
    names: Sequence[str], dataset: str, place: Place, plugins: tuple[PluginFile, ...]
) -> Iterator[Report]:
    """The reports of networks, on the training samples of a data set."""
    with closing(worker()) as engine:
        yield from reports(engine, network_report, [NetworkWork(name, dataset, place, plugins) for name in names])


def worker() -> LocalEngine:
    """One process at a time, with what a cell of an ordinary run gets; a GPU's driver allows no memory limit."""
    memory = None if torch.cuda.is_available() else isolation.fair_share(isolation.usable_cores())
    engine = LocalEngine(1, memory)
    engine.warm_up()
    return engine


def reports(engine: LocalEngine, function: Callable[[Any], Report], work: Sequence[Any]) -> Iterator[Report]:
    """What ``function`` reports of each piece of work, or that its worker did not survive."""
    for piece, report, failure in attempted(engine, function, work, TIMEOUT):
        yield report or Report(piece.name, [Result("worker", "FAILED", f"{failure}; so it would in a run")])


def tuner_report(work: TunerWork) -> Report:
    """Worker's side of `check_tuners`."""
    settle()
    subject, start = Subject(tuners_of(work.what, work.file)[work.place]), time.perf_counter()
    results = list(run_checks(subject))
    if not subject.seconds:
        return Report(work.name, results)
    trial = f"{1000 * statistics.median(subject.seconds):.1f} ms per trial on {subject.device}"
    slowest = f"{1000 * subject.slowest:.1f} ms at the slowest corner"
    return Report(work.name, results, f"{trial}, {slowest}; checked in {time.perf_counter() - start:.1f} s")


def network_report(work: NetworkWork) -> Report:
    """Worker's side of `check_networks`."""
    settle()
    registry = load_registry(work.plugins)
    spec = find_model(work.name, offered_models(registry).values())
    data = open_dataset(work.dataset, work.place, registry.named("tunebench_datasets")).train()
    subject = NetworkSubject(spec, data)
    results = list(run_checks(subject, NETWORK_CHECKS))
    return Report(spec.name, results, "" if isinstance(subject.first, Exception) else seen_by_tuners(subject))


def tuners_of(what: str, file: PluginFile | None) -> list[Tuner]:
    """The tuners that ``what`` names, in ``file`` where it is one; UsageError or PluginError when there is none."""
    if file is None:
        registry = load_registry()
        return [registry.tuner(name) for name in registry.select([what])]
    registry = load_registry([file], entry_points=False)
    offered = [item for _, item in registry.offered_tuners()]
    for problem in registry.problems.values():
        raise PluginError(f"{what}: {problem}")
    wrong = [type(item).__name__ for item in offered if not isinstance(item, Tuner)]
    if wrong or not offered:
        raise PluginError(f"{what}: tunebench_tuners() returned {wrong[0] if wrong else 'nothing'}, not a Tuner")
    return offered
