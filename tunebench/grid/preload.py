"""Imported once by the server that all cells are forked from, so that none of them pays for it again."""

import atexit
import contextlib
import gc
import importlib
import os
import pickle
import sys
from collections.abc import Mapping
from multiprocessing import spawn
from types import TracebackType
from typing import Any

from tunebench.console import loading

with loading():
    from tunebench import plugins
    from tunebench.grid import evaluation, latency, provenance, runner
    from tunebench.networks import originals
    from tunebench.results import cells
    from tunebench.workers import isolation

LATER = ("scipy.optimize", "scipy.special", "numba", "tunebench.training")
"""What a cell would import in its middle, a quarter of a second and more: two for certificates, two for its tuner."""

with loading():
    for name in LATER:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def end_at_once(server: int = os.getpid()) -> None:
    """End the server without taking apart what it has imported: it holds the run's output, whose reader would wait.

    What was printed to a pipe is still in a buffer by then.
    """
    if os.getpid() == server:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # nobody reads it any more, or a plugin closed it
                stream.flush()
        os._exit(0)


if os.environ.get(isolation.SAFE_PATH) == isolation.OURS:
    del os.environ[isolation.SAFE_PATH]  # it was meant for this process, not for what a tuner starts
    atexit.register(end_at_once)

cells.library_versions()
provenance.host()
plugins.installed()


def quiet_when_orphaned(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    """Say nothing of a worker that was forked just when the run ended, so that nobody told it what to do."""
    if not issubclass(kind, EOFError | OSError | pickle.UnpicklingError):
        sys.__excepthook__(kind, exc, trace)


def without_main(data: Mapping[str, Any], prepare: Any = spawn.prepare) -> None:
    """Prepare a worker of ours without importing the script that started the run.

    No cell needs it, it can be slow to import (pytest, say), and without ``if __name__ == "__main__":`` it would
    start the run once more.
    """
    ours = data.get("name") == isolation.WORKER
    prepare({key: value for key, value in data.items() if not (ours and key.startswith("init_main_"))})


sys.excepthook = quiet_when_orphaned
spawn.prepare = without_main

isolation.forget_interrupts()  # it was for the process that started the run, and has ended that one

# Else the collector of every worker walks all that was imported, and so copies the pages that it shares.
gc.collect()
gc.freeze()

__all__ = ["evaluation", "latency", "originals", "runner"]
