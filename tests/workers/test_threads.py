"""Threads that share an engine, as those of a dask worker do."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from tunebench.workers import engines
from tunebench.workers.engines import LocalEngine


def after(seconds):
    """Sleep, and say who did."""
    time.sleep(seconds)
    return os.getpid()


def test_a_process_that_ends_ends_no_other(monkeypatch):
    """Each future has its own process, whatever thread starts another meanwhile; that process alone is cleared away."""
    start = engines.Remembering.persistent

    def slowly(self, function):
        future = start(self, function)
        time.sleep(0.3)
        return future

    monkeypatch.setattr(engines.Remembering, "persistent", slowly)
    engine = LocalEngine(4)
    engine.warm_up()
    with ThreadPoolExecutor(4) as threads:
        waits = [0.0, 2.5, 0.0, 2.5]
        futures = list(threads.map(lambda seconds: engine.submit(after, seconds, 60), waits))
    assert len({future.result() for future in futures}) == 4
    engine.close()
