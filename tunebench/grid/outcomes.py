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
from tunebench.workers.engines import result_of

RETRIES = 2
"""How often a cell whose worker was lost is tried again; an error or a timeout never is."""
KILLED = -9
"""Exit code of a process that somebody has killed: the kernel for want of memory, a user, or the tuner itself."""
LOST = ("CancelledError", "FutureCancelledError", "KilledWorker")
"""What dask.distributed raises when a worker is gone and it has given up on its own retries."""


@dataclass(frozen=True)
class Lost:
    """There is no result, through no fault of the tuner's as far as one can see."""

    why: str
    host: bool = False
    """Whether it is surely a machine's fault: it said what it lacks, or its server of workers was killed."""


def outcome(future: Future[Any], job: Job, timeout: float) -> Record | Lost:
    """The record of a finished future, also when its process did not survive."""
    try:
        record: Record = result_of(future)
    except TimeoutError:
        result = failure("timeout", f"no result after {timeout:g} s; raise --timeout or mend the tuner")
    except Exception as exc:
        if was_lost(exc):
            return Lost(in_words(exc), host=isinstance(exc, HostFault))
        if type(exc).__name__ in LOST:
            return Lost("its worker was lost")
        result = failure("crashed", in_words(exc))
    else:
        return record
    return record_of(job, provenance(job), result)


def was_lost(exc: Exception) -> bool:
    """Whether ``exc`` says that the worker of a process engine is gone, and not what the work itself did."""
    return isinstance(exc, HostFault) or (isinstance(exc, ProcessExpired) and exc.exitcode == KILLED)


def in_words(exc: Exception) -> str:
    """Why there is no result."""
    if isinstance(exc, ProcessExpired):
        return isolation.how_it_ended(exc.exitcode)
    return str(exc) if isinstance(exc, HostFault) else f"{type(exc).__name__}: {exc}"


def given_up(lost: Lost, job: Job, *, killed_for_memory: bool) -> Record:
    """The record of a cell whose worker was lost again and again."""
    status = "out-of-memory" if killed_for_memory else "crashed"
    return record_of(job, provenance(job), failure(status, f"{lost.why}, {RETRIES + 1} times"))
