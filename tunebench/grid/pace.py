"""How long cells take on this machine: every run notes it in the cache, and ``--dry-run`` counts with it."""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from statistics import median
from typing import Any

from tunebench.cache import cache_root
from tunebench.errors import StoreError
from tunebench.results.cells import Cell, Job
from tunebench.results.store import write_text
from tunebench.workers.engines import Engine, in_flight

GUESS = 0.15
"""Seconds of a trial of a tuner that has not run here before."""
MOST = 10_000
"""Names that are kept, the newest."""

Pace = tuple[float, int]
"""Seconds of a cell, and for how many trials."""


def name_of(dataset: str, model: str, tuner: str) -> str:
    """What cells of one pace have in common."""
    return f"{dataset} {model} {tuner}"


def paced(
    engine: Engine, function: Callable[[Job], Any], take: Callable[[], Job | None], timeout: float
) -> Iterator[tuple[Job, Future[Any]]]:
    """`in_flight` for cells, timed from handing one out until it is back; noted also where a run is interrupted."""
    started: dict[Cell, float] = {}
    seconds: dict[str, list[float]] = defaultdict(list)
    trials = 1

    def timed() -> Job | None:
        job = take()
        if job is not None:
            started[job.cell] = time.perf_counter()
        return job

    try:
        for job, future in in_flight(engine, function, timed, timeout):
            if not future.cancelled() and future.exception() is None:
                trials = job.options.trials
                place = name_of(job.cell.dataset, job.cell.model, job.cell.tuner)
                seconds[place].append(time.perf_counter() - started[job.cell])
            yield job, future
    finally:
        note({place: (median(found), trials) for place, found in seconds.items()})


def note(paces: Mapping[str, Pace]) -> None:
    """Keep ``paces`` for later runs; a cache that cannot be written is none of a run's business."""
    if paces:
        kept = {name: pace for name, pace in known().items() if name not in paces} | dict(paces)
        with contextlib.suppress(StoreError):
            write_text(cache_root() / "pace.json", json.dumps(dict(list(kept.items())[-MOST:])))


def known() -> dict[str, Pace]:
    """The paces that earlier runs noted; none where their file cannot be used."""
    try:
        found = json.loads((cache_root() / "pace.json").read_text("utf-8"))
        return {str(name): (float(seconds), int(trials)) for name, (seconds, trials) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def expected(names: Mapping[str, bool], trials: int) -> tuple[float, int]:
    """Seconds of one cell of each of ``names`` together, and how many of them have been measured.

    The value of a name says whether its tuner searches: then its time grows with the trials.
    """
    paces, total, measured = known(), 0.0, 0
    for name, searches in names.items():
        if name in paces:
            seconds, then = paces[name]
            total += seconds * (trials / then if searches else 1)
            measured += 1
        else:
            total += GUESS * (trials if searches else 1)
    return total, measured
