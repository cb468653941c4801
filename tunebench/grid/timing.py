"""The latency pass after the cells: who is tuned again beside others, and who is timed, always alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from tunebench.grid.evaluation import failure
from tunebench.grid.latency import time_cell
from tunebench.grid.observer import Observer
from tunebench.grid.outcomes import in_words, was_lost
from tunebench.grid.plan import RunOptions
from tunebench.grid.scoring import Record
from tunebench.networks.originals import OriginalKey
from tunebench.results.cells import Job
from tunebench.results.store import Damaged, Store
from tunebench.workers import isolation
from tunebench.workers.engines import Engine, LocalEngine, in_flight, result_of

Work = tuple[Job, Record]
"""A cell and its record."""


def time_cells(
    jobs: Sequence[Job], store: Store, engine: LocalEngine, observer: Observer, options: RunOptions, timeout: float
) -> None:
    """Measure what has no latency yet, one cell after the other on an idle machine.

    Only the first seed of every row: latency belongs to the architecture, and a fine-tuned cell has to be tuned again.
    Of all networks that are built like their original one is timed. The others are only to be tuned again, which
    ``engine`` does side by side once that one is known; a choice that is the original itself need not be.
    """
    todo = [
        (job, record)
        for job in jobs
        if job.cell.seed == 0 and not timed(store, job, options) and (record := good_record(job, store))
    ]
    if not todo:
        return
    observer.stage("latency", len(todo))
    first: dict[OriginalKey, Job] = {}
    for job, _ in sorted(todo, key=is_original, reverse=True):
        first.setdefault(job.original, job)
    rest = [work for work in todo if work[0] is not first[work[0].original]]
    timing = Timing(store, observer, timeout)
    with closing(LocalEngine(1, engine.memory)) as alone:
        timing.alone(alone, (work for work in todo if work[0] is first[work[0].original]))
        if engine.workers > 1:  # who turns out to be built otherwise is tuned once more, when it is timed
            rest = timing.beside(engine, rest)
        timing.alone(alone, rest)


@dataclass(frozen=True)
class Timing:
    """What the parts of the pass share."""

    store: Store
    observer: Observer
    timeout: float
    twins: dict[OriginalKey, Record] = field(default_factory=dict)
    """By original the measurement of one network that is built like it."""

    def alone(self, engine: Engine, todo: Iterable[Work]) -> None:
        """Time ``todo`` on an engine of one worker."""
        self.through(engine, todo, alone=True)

    def beside(self, engine: Engine, todo: Iterable[Work]) -> list[Work]:
        """Tune ``todo`` again where a twin is known; returns what has to be timed."""
        todo = list(todo)
        other = self.through(engine, (work for work in todo if work[0].original in self.twins), alone=False)
        return [work for work in todo if work[0].original not in self.twins] + other

    def through(self, engine: Engine, todo: Iterable[Work], *, alone: bool) -> list[Work]:
        """Handle and write down ``todo``; returns what was not timed because it is built unlike its twin."""
        queue, other = deque(todo), []

        def take() -> Any:
            while queue:
                job, record = queue.popleft()
                twin = self.twins.get(job.original)
                if twin is None or not is_original((job, record)):
                    return job, record, twin, alone
                self.done(job, {**twin, "key": job.key})
            return None

        for (job, record, *_), future in in_flight(engine, time_job, take, self.timeout):
            try:
                content = result_of(future)
            except Exception as exc:
                if was_lost(exc):
                    self.observer.warn(f"{name_of(job)} is not timed: {in_words(exc)}; run again")
                    continue
                content = {"key": job.key, **failure("error", in_words(exc))}
            if content is None:
                other.append((job, record))
                continue
            if content.get("like_original"):
                self.twins[job.original] = content
            self.done(job, content)
        return other

    def done(self, job: Job, content: Record) -> None:
        """Write down the measurement of a cell."""
        self.store.put("times", job.cell, content)
        self.observer.step(name_of(job))


def is_original(work: Work) -> bool:
    """Whether the choice that is timed is the unchanged original, so that there is nothing to tune again."""
    job, record = work
    point = record["points"]["plain"][str(job.options.demand)]
    return bool(point["fell_back"] and point["shift"] == 0)


def name_of(job: Job) -> str:
    """A cell's name for people."""
    return str(job.cell.path.with_suffix(""))


def time_job(work: tuple[Job, Record, Record | None, bool]) -> Record | None:
    """Worker's side of `time_cells`."""
    isolation.silence()
    return time_cell(*work)


def good_record(job: Job, store: Store) -> Record | None:
    """The ok record of this very job."""
    try:
        record = store.get("cells", job.cell)
    except Damaged:  # harmed since it was written; the next run will say so
        return None
    return record if record is not None and record["status"] == "ok" and record["key"] == job.key else None


def timed(store: Store, job: Job, options: RunOptions) -> bool:
    """Whether OUT holds a latency measurement of this very cell."""
    try:
        times = store.get("times", job.cell)
    except Damaged:
        return False
    if times is None or times["key"] != job.key or options.no_cache:
        return False
    return times["status"] == "ok" or not options.retry_failed
