"""What became of a cell whose worker came back, or did not."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from pebble import ProcessExpired

from tunebench.grid.evaluation import Record, failure, record_of
from tunebench.grid.provenance import provenance
from tunebench.results.cells import Job
from tunebench.workers import isolation

RETRIES = 2
"""How often a cell whose worker was lost is tried again; an error or a timeout never is."""
UNKNOWN_EXIT = 255
"""What multiprocessing says when it missed how a process ended."""
LOST = ("CancelledError", "FutureCancelledError", "KilledWorker")
"""What dask.distributed raises when a worker is gone and it has given up on its own retries."""


def outcome(future: Future[Any], job: Job, timeout: float) -> Record | None:
    """The record of a finished future, also when its process did not survive; None when the worker was lost."""
    try:
        record: Record = future.result()
    except TimeoutError:
        result = failure("timeout", f"no result after {timeout:g} s; raise --timeout or mend the tuner")
    except ProcessExpired as exc:
        if exc.exitcode in (-9, UNKNOWN_EXIT):
            return None
        result = failure("crashed", isolation.how_it_ended(exc.exitcode))
    except Exception as exc:
        if type(exc).__name__ in LOST:
            return None
        result = failure("crashed", f"{type(exc).__name__}: {exc}")
    else:
        return record
    return record_of(job, provenance(job), result)


def given_up(future: Future[Any], job: Job, *, killed_for_memory: bool) -> Record:
    """The record of a cell whose worker was lost again and again."""
    exc = future.exception() if not future.cancelled() else None
    how = isolation.how_it_ended(exc.exitcode) if isinstance(exc, ProcessExpired) else "its worker was lost"
    status = "out-of-memory" if killed_for_memory else "crashed"
    return record_of(job, provenance(job), failure(status, f"{how}, {RETRIES + 1} times"))
