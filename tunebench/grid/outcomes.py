"""What became of a cell whose worker came back, or did not."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pebble import ProcessExpired

from tunebench.errors import HostFault
from tunebench.grid.evaluation import failure, record_of
from tunebench.grid.provenance import provenance
from tunebench.grid.scoring import Record
from tunebench.results.cells import Job
from tunebench.workers import isolation

RETRIES = 2
"""How often a cell whose worker was lost is tried again; an error or a timeout never is."""
UNKNOWN_EXIT = 255
"""What multiprocessing says when it missed how a process ended."""
LOST = ("CancelledError", "FutureCancelledError", "KilledWorker")
"""What dask.distributed raises when a worker is gone and it has given up on its own retries."""


@dataclass(frozen=True)
class Lost:
    """There is no result, through no fault of the tuner's as far as one can see."""

    why: str
    host: bool = False
    """Whether a machine said itself what it lacks."""


def outcome(future: Future[Any], job: Job, timeout: float) -> Record | Lost:
    """The record of a finished future, also when its process did not survive."""
    try:
        record: Record = future.result()
    except HostFault as exc:
        return Lost(str(exc), host=True)
    except TimeoutError:
        result = failure("timeout", f"no result after {timeout:g} s; raise --timeout or mend the tuner")
    except ProcessExpired as exc:
        if exc.exitcode in (-9, UNKNOWN_EXIT):
            return Lost(isolation.how_it_ended(exc.exitcode))
        result = failure("crashed", isolation.how_it_ended(exc.exitcode))
    except Exception as exc:
        if type(exc).__name__ in LOST:
            return Lost("its worker was lost")
        result = failure("crashed", f"{type(exc).__name__}: {exc}")
    else:
        return record
    return record_of(job, provenance(job), result)


def given_up(lost: Lost, job: Job, *, killed_for_memory: bool) -> Record:
    """The record of a cell whose worker was lost again and again."""
    status = "out-of-memory" if killed_for_memory else "crashed"
    return record_of(job, provenance(job), failure(status, f"{lost.why}, {RETRIES + 1} times"))
