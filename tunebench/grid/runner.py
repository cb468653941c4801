"""The grid: originals first, then cells, then the latency pass; resumable at any point, prints nothing."""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tunebench.cache import in_use
from tunebench.errors import StoreError, UsageError
from tunebench.grid import suite as suites
from tunebench.grid.evaluation import failure, record_of, run_cell
from tunebench.grid.observer import Observer, Silent
from tunebench.grid.outcomes import RETRIES, Lost, given_up, outcome
from tunebench.grid.pace import paced
from tunebench.grid.plan import Plan, RunOptions, lock, make_jobs, make_plan
from tunebench.grid.preparation import architectures, train_originals
from tunebench.grid.provenance import provenance
from tunebench.grid.readiness import make_ready, make_ready_elsewhere, ready
from tunebench.grid.scoring import Record
from tunebench.grid.suite import Suite
from tunebench.grid.timing import time_cells
from tunebench.naming import seed_of
from tunebench.networks.originals import data_folder
from tunebench.results.cells import FAILURES, UNDONE, Cell, Job, differences
from tunebench.results.folder import set_aside
from tunebench.results.store import Damaged, Store
from tunebench.workers import isolation
from tunebench.workers.cluster import Preparation, open_engine
from tunebench.workers.engines import Engine, LocalEngine
from tunebench.workers.errand import Errand, await_end, send


def run(
    suite: Suite,
    options: RunOptions,
    observer: Observer | None = None,
    errand: Errand | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> dict[str, int]:
    """Run what is missing of ``suite`` into ``options.out``; returns the number of cells of each status.

    ``errand`` is done beside originals and cells, and has ended, well or not, before latency is measured.
    ``meanwhile`` too, in a thread of this process, once every name is resolved: this one has nothing to do but wait.
    """
    observer = observer or Silent()
    store = Store(options.out)
    store.examine()
    check_protocol(store, suite, observer)
    with contextlib.closing(local_engine(options)) as local, ThreadPoolExecutor(1) as threads:
        # Before any plugin can change the environment that all cells see. A finished grid needs no server at all.
        local.warm_up(now=not store.lock_path.exists())
        plan = make_plan(suite, options)
        aside = [threads.submit(meanwhile)] if meanwhile else []
        preparation = Preparation(ready, make_ready_elsewhere)
        with contextlib.closing(open_engine(options.executor, local, options.memory, preparation)) as engine:
            architectures(plan, local, observer, options)
            if errand:
                aside.append(send(local, errand))
            return run_plan(plan, options, observer, local, engine, aside)


def local_engine(options: RunOptions) -> LocalEngine:
    """The processes of this machine that ``options`` allow."""
    memory = options.memory or isolation.fair_share(options.jobs)
    return LocalEngine(options.jobs, memory if options.device == "cpu" else None)


def run_plan(
    plan: Plan,
    options: RunOptions,
    observer: Observer,
    local: LocalEngine,
    engine: Engine,
    aside: Sequence[Future[Any]] = (),
) -> dict[str, int]:
    """`run` from the point where every name is resolved and every network has been looked at.

    Cells are computed by ``engine``; originals are trained and latency is measured by ``local``, once all that goes on
    ``aside`` has ended.
    """
    store, timeout = Store(options.out), suites.seconds_of(plan.suite.timeout)
    for plugin, problem in plan.registry.problems.items():
        observer.warn(f"plugin {plugin!r} is not used: {problem}")
    store.prepare()
    with in_use({folder for key in plan.originals() for folder in (data_folder(key.data), key.folder)}):
        records = train_originals(plan, local, observer, options)
        jobs = list(make_jobs(plan, records, options))
        lock(store, plan, jobs)
        counts = Counter(record_failures(jobs, plan, store, options, observer))
        jobs = [job for job in jobs if job.original in records]
        counts += Counter(run_cells(jobs, store, engine, observer, options, timeout))
        await_end(*aside)
        if options.latency:
            time_cells(jobs, store, local, observer, options, timeout)
    return dict(counts)


def check_protocol(store: Store, suite: Suite, observer: Observer) -> None:
    """UsageError when OUT holds results of another protocol; a damaged lock file is set aside."""
    try:
        lock = store.lock()
    except StoreError as exc:
        observer.warn(f"{exc.__cause__ or exc}: {store.lock_path} moved to {set_aside(store.lock_path).name}")
        return
    if lock is not None and lock["suite"]["protocol"] != suite.protocol:
        raise UsageError(
            f"{store.out} holds results of --protocol {lock['suite']['protocol']}; choose another -o OUT for "
            f"--protocol {suite.protocol}"
        )


def record_failures(
    jobs: Sequence[Job], plan: Plan, store: Store, options: RunOptions, observer: Observer
) -> dict[str, int]:
    """Write down the cells whose network cannot be built or trained, unless they came out well before."""
    counts: Counter[str] = Counter()
    for job in jobs:
        if job.original in plan.failures:
            status, _ = verdict(job, store, options, observer)
            if status is None or status in FAILURES:
                status, reason = plan.failures[job.original]
                record = record_of(job, provenance(job), failure(status, reason))
                store.put("cells", job.cell, record | {"stage": "original"})
            counts[status] += 1
    return dict(counts)


def run_cells(
    jobs: Sequence[Job], store: Store, engine: Engine, observer: Observer, options: RunOptions, timeout: float
) -> dict[str, int]:
    """Compute the cells that OUT does not hold yet; every one that finishes is on disk before the next is awaited."""
    counts: Counter[str] = Counter()
    todo: deque[Job] = deque()
    for job in jobs:
        status, why = verdict(job, store, options, observer)
        if options.explain:
            observer.explain(f"{job.cell.path.with_suffix('')}: {'computed' if status is None else 'reused'}, {why}")
        if status is None:
            todo.append(job)
        else:
            counts[status] += 1
    if not todo:
        return dict(counts)
    observer.stage("cells", len(todo))
    # Another run on the same OUT starts elsewhere, so that two of them share the work.
    todo.rotate(seed_of(socket.gethostname(), os.getpid()) % len(todo))
    lost: Counter[Cell] = Counter()
    ended = isolation.oom_kills()

    def take() -> Job | None:
        while todo:
            job = todo.popleft()
            status = None if lost[job.cell] else done_meanwhile(job, store, options)
            if status is None:
                return job
            counts[status] += 1
            observer.step(f"{job.cell.path.with_suffix('')} {status}, by another run")
        return None

    for job, future in paced(engine, silent_cell, take, timeout):
        record = outcome(future, job, timeout)
        name = job.cell.path.with_suffix("")
        if isinstance(record, Lost) and lost[job.cell] < RETRIES:
            lost[job.cell] += 1
            observer.warn(f"{name}: {record.why}; trying again")
            if record.host:
                mend(job, engine)
            todo.append(job)
            continue
        if isinstance(record, Lost) and record.host:
            counts[UNDONE] += 1
            observer.warn(f"{name} is not done: {record.why}; run again, and it is computed then")
            observer.step(f"{name} {UNDONE}")
            continue
        if isinstance(record, Lost):
            record = given_up(record, job, killed_for_memory=isolation.oom_kills() > ended)
        store.put("cells", job.cell, record)
        counts[record["status"]] += 1
        observer.step(f"{name} {record['status']}")
    return dict(counts)


def mend(job: Job, engine: Engine) -> None:
    """Make the data and the original of ``job`` anew where they are gone; a cluster's workers do so for every cell."""
    if isinstance(engine, LocalEngine):
        with contextlib.suppress(Exception):  # the next attempt says what is wrong
            engine.submit(make_ready, job, None).result()


def silent_cell(job: Job) -> Record:
    """Worker's side of `run_cells`: whatever a tuner prints goes nowhere."""
    isolation.silence()
    return run_cell(job)


def verdict(job: Job, store: Store, options: RunOptions, observer: Observer) -> tuple[str | None, str]:
    """Status of the cell that OUT holds for ``job`` already, None when it has to be computed; and why.

    A file that cannot be used is set aside.
    """
    try:
        record = store.get("cells", job.cell)
    except Damaged as exc:
        aside = store.set_aside("cells", job.cell)
        observer.warn(f"{store.path('cells', job.cell)}: {exc}; moved to {aside.name} and computed again")
        return None, f"its file was unusable: {exc}"
    if record is None:
        return None, "there is no result yet"
    status: str = record["status"]
    if record["key"] != job.key:
        return None, "; ".join(differences(record["inputs"], job.inputs))
    if options.no_cache:
        return None, "--no-cache"
    if record.get("stage") == "original":
        return None, "its original could not be trained before"
    if options.retry_failed and status in FAILURES:
        return None, f"{status} before, --retry-failed"
    return status, f"{status}, computed from the same inputs"


def done_meanwhile(job: Job, store: Store, options: RunOptions) -> str | None:
    """Status of a cell that another run on the same OUT has finished since this one started."""
    if options.no_cache or options.retry_failed:
        return None
    try:
        record = store.get("cells", job.cell)
    except Damaged:
        return None
    return None if record is None or record["key"] != job.key else str(record["status"])
