"""The grid: originals first, then cells, then the latency pass; resumable at any point, prints nothing."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, as_completed, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from pebble import ProcessExpired

from tunebench import originals
from tunebench import suite as suites
from tunebench.cells import FAILURES, Job
from tunebench.engines import Engine, LocalEngine
from tunebench.errors import StoreError, UsageError
from tunebench.evaluation import failure, run_cell
from tunebench.latency import time_cell
from tunebench.models import find_model
from tunebench.originals import OriginalKey
from tunebench.plan import Plan, RunOptions, lock, make_jobs, make_plan
from tunebench.plugins import PluginFile, load_registry
from tunebench.store import Damaged, Store
from tunebench.suite import Suite


class Observer(Protocol):
    """Whoever watches a run; the CLI draws progress bars."""

    interactive: bool
    """Whether workers may draw bars of their own on the terminal."""

    def stage(self, name: str, total: int) -> None:
        """A stage of ``total`` steps begins."""

    def step(self, note: str) -> None:
        """One step of the stage is done."""

    def warn(self, text: str) -> None:
        """Something that the user should read."""


class Silent:
    """Watches nothing."""

    interactive = False

    def stage(self, name: str, total: int) -> None:
        """See `Observer`."""

    def step(self, note: str) -> None:
        """See `Observer`."""

    def warn(self, text: str) -> None:
        """See `Observer`."""


def run(suite: Suite, options: RunOptions, observer: Observer | None = None) -> dict[str, int]:
    """Run what is missing of ``suite`` into ``options.out``; returns the number of cells of each status."""
    observer = observer or Silent()
    store = Store(options.out)
    check_protocol(store, suite)
    plan = make_plan(suite, options)
    for plugin, problem in plan.registry.problems.items():
        observer.warn(f"plugin {plugin!r} is not used: {problem}")
    ensure_writable(options.out)
    engine = LocalEngine(options.jobs)
    finished = False
    try:
        records = train_originals(plan, engine, observer, options)
        jobs = list(make_jobs(plan, records, options))
        lock(store, plan, jobs)
        counts = run_cells(jobs, store, engine, observer, options, suites.seconds_of(suite.timeout))
        finished = True
    finally:
        engine.close(now=not finished)
    time_cells(jobs, store, options, observer)
    return counts


def check_protocol(store: Store, suite: Suite) -> None:
    """UsageError when OUT holds results of another protocol."""
    lock = store.lock()
    if lock is not None and lock["suite"]["protocol"] != suite.protocol:
        raise UsageError(
            f"{store.out} holds results of --protocol {lock['suite']['protocol']}; choose another -o OUT for "
            f"--protocol {suite.protocol}"
        )


def ensure_writable(out: Path) -> None:
    """StoreError unless files can be made in ``out``."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as exc:
        raise StoreError(f"cannot write {out}: {exc.strerror or exc}; choose another -o OUT") from exc


def train_originals(
    plan: Plan, engine: Engine, observer: Observer, options: RunOptions
) -> dict[OriginalKey, dict[str, Any]]:
    """Train what is not cached, side by side; returns the record of every original."""
    for dataset in plan.datasets.values():
        originals.materialise(dataset)
    keys = list(plan.originals())
    missing = [key for key in keys if not key.folder.is_dir()]
    if missing:
        observer.stage("originals", len(missing))
        work = [
            (key, options.plugins, 1 + i % engine.workers if observer.interactive else None)
            for i, key in enumerate(missing)
        ]
        futures = {engine.submit(train_one, item, None): item[0] for item in work}
        for future in as_completed(futures):
            future.result()
            key = futures[future]
            observer.step(f"{key.dataset} {key.model} seed {key.seed}")
    return {key: originals.ensure_original(key, plan.models[key.model]) for key in keys}


def train_one(work: tuple[OriginalKey, tuple[PluginFile, ...], int | None]) -> None:
    """Worker's side of `train_originals`; the last item is the terminal line of its progress bar."""
    key, plugins, line = work
    torch.set_num_threads(1)
    extra = load_registry(plugins).named("tunebench_models").values()
    originals.ensure_original(key, find_model(key.model, extra), line=line)


def run_cells(
    jobs: Sequence[Job], store: Store, engine: Engine, observer: Observer, options: RunOptions, timeout: float
) -> dict[str, int]:
    """Compute the cells that OUT does not hold yet; every one that finishes is on disk before the next is awaited."""
    counts: Counter[str] = Counter()
    todo = []
    for job in jobs:
        status = reusable(job, store, options, observer)
        if status is None:
            todo.append(job)
        else:
            counts[status] += 1
    if not todo:
        return dict(counts)
    observer.stage("cells", len(todo))
    queue = iter(todo)
    pending: dict[Future[Any], Job] = {}
    while True:
        for job in itertools.islice(queue, 2 * engine.workers - len(pending)):
            pending[engine.submit(run_cell, job, timeout)] = job
        if not pending:
            return dict(counts)
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            job = pending.pop(future)
            record = outcome(future, job, timeout)
            store.put("cells", job.cell, record)
            counts[record["status"]] += 1
            observer.step(f"{job.cell.path.with_suffix('')} {record['status']}")


def reusable(job: Job, store: Store, options: RunOptions, observer: Observer) -> str | None:
    """Status of the cell that OUT holds for ``job`` already, or None when it has to be computed."""
    if options.no_cache:
        return None
    try:
        record = store.get("cells", job.cell)
    except Damaged as exc:
        aside = store.set_aside("cells", job.cell)
        observer.warn(f"{store.out / 'cells' / job.cell.path}: {exc}; moved to {aside.name} and computed again")
        return None
    if record is None or record.get("key") != job.key:
        return None
    status: str = record["status"]
    return None if options.retry_failed and status in FAILURES else status


def outcome(future: Future[Any], job: Job, timeout: float) -> dict[str, Any]:
    """The record of a finished future, also when its process did not survive."""
    base = {"cell": asdict(job.cell), "key": job.key, "options": asdict(job.options)}
    try:
        record: dict[str, Any] = future.result()
    except TimeoutError:
        return base | failure("timeout", f"no result after {timeout:g} s; raise --timeout or mend the tuner")
    except ProcessExpired as exc:
        return base | failure("crashed", f"the worker process ended with exit code {exc.exitcode}")
    except Exception as exc:
        return base | failure("crashed", f"{type(exc).__name__}: {exc}")
    return record


def time_cells(jobs: Sequence[Job], store: Store, options: RunOptions, observer: Observer) -> None:
    """Measure latency of every ok cell that has no measurement yet, one after the other on an idle machine."""
    todo: list[tuple[Job, dict[str, Any]]] = []
    for job in jobs:
        record = store.get("cells", job.cell)
        if record is not None and record["status"] == "ok" and not timed(store, job, options):
            todo.append((job, record))
    if not todo:
        return
    observer.stage("latency", len(todo))
    engine = LocalEngine(1)
    finished = False
    try:
        for job, record in todo:
            try:
                content = engine.submit(time_job, (job, record), suites.seconds_of("10m")).result()
            except Exception as exc:
                content = {"key": job.key, **failure("error", f"{type(exc).__name__}: {exc}")}
            store.put("times", job.cell, content)
            observer.step(str(job.cell.path.with_suffix("")))
        finished = True
    finally:
        engine.close(now=not finished)


def time_job(work: tuple[Job, dict[str, Any]]) -> dict[str, Any]:
    """Worker's side of `time_cells`."""
    return time_cell(*work)


def timed(store: Store, job: Job, options: RunOptions) -> bool:
    """Whether OUT holds a latency measurement of this very cell."""
    if options.no_cache:
        return False
    try:
        times = store.get("times", job.cell)
    except Damaged:
        return False
    return times is not None and times.get("key") == job.key
