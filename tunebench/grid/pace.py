"""How long cells take on this machine: every run notes it in the cache, and ``--dry-run`` counts with it."""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from statistics import median
from typing import Any, NamedTuple

from tunebench.cache import cache_root
from tunebench.errors import StoreError
from tunebench.results.cells import Cell, Job
from tunebench.results.store import write_text
from tunebench.workers.engines import Engine, in_flight

MOST = 10_000
"""Names that are kept, the newest."""


class Pace(NamedTuple):
    """How long a cell takes, in seconds."""

    rest: float
    """All but the search: start, loading, scores."""
    search: float
    trials: int
    """Of that search."""

    def at(self, trials: int, searches: bool) -> float:
        """Seconds with so many trials; a tuner that does not search has one, whatever is asked for."""
        return self.rest + self.search * (trials / self.trials if searches else 1)


def name_of(dataset: str, model: str, tuner: str) -> str:
    """What cells of one pace have in common."""
    return f"{dataset} {model} {tuner}"


def paced(
    engine: Engine, function: Callable[[Job], Any], take: Callable[[], Job | None], timeout: float
) -> Iterator[tuple[Job, Future[Any]]]:
    """`in_flight` for cells, timed from handing one out until it is back; noted also where a run is interrupted."""
    started: dict[Cell, float] = {}
    seconds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    trials = 1

    def timed() -> Job | None:
        job = take()
        if job is not None:
            started[job.cell] = time.perf_counter()
        return job

    try:
        for job, future in in_flight(engine, function, timed, timeout, ahead=True):
            if not future.cancelled() and future.exception() is None:
                trials = job.options.trials
                place = name_of(job.cell.dataset, job.cell.model, job.cell.tuner)
                whole, search = time.perf_counter() - started[job.cell], float(future.result().get("tune_seconds", 0))
                seconds[place].append((max(0.0, whole - search), search))
            yield job, future
    finally:
        medians = {place: [median(part) for part in zip(*found, strict=True)] for place, found in seconds.items()}
        note({place: Pace(rest, search, trials) for place, (rest, search) in medians.items()})


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
        return {
            str(name): Pace(float(rest), float(search), int(trials)) for name, (rest, search, trials) in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
