"""Who runs the cells: an engine is ``submit(function, argument, timeout) -> Future`` and nothing more."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import wait
from typing import Any, Protocol

import pebble

PRELOAD = ["torch", "numpy", "optuna", "tunebench.evaluation"]


class Engine(Protocol):
    """Runs functions of one argument somewhere else."""

    workers: int

    def submit(self, function: Callable[[Any], Any], argument: Any, timeout: float | None) -> Future[Any]:
        """Start ``function(argument)``; the future fails with TimeoutError after ``timeout`` seconds of work."""

    def close(self, *, now: bool) -> None:
        """End all workers: at once, or when they are done."""


class LocalEngine:
    """One fresh process per task on this machine, forked from a server that has torch loaded."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        methods = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            context.set_forkserver_preload(PRELOAD)
        self.pool: Any = pebble.ProcessPool(max_workers=workers, max_tasks=1, context=context)

    def submit(self, function: Callable[[Any], Any], argument: Any, timeout: float | None) -> Future[Any]:
        """See `Engine.submit`."""
        future: Future[Any] = self.pool.schedule(guarded, args=(function, argument), timeout=timeout)
        return future

    def close(self, *, now: bool) -> None:
        """See `Engine.close`."""
        if now:
            self.pool.stop()
        else:
            self.pool.close()
        self.pool.join()


def guarded(function: Callable[[Any], Any], argument: Any) -> Any:
    """Run in a worker that dies with its parent, also when the parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch(sentinel: int = parent.sentinel) -> None:
            wait([sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
    return function(argument)
