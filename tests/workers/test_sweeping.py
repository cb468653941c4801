"""Workers that are ended while they fill the cache leave no half-built folder there, whatever they were building."""

from __future__ import annotations

import functools
import os
import signal
import time

from filelock import FileLock

from tunebench.cache import SITE, cached_folder, lock_of, sweep
from tunebench.workers.engines import LocalEngine


def half(then, empty):
    """Write something, and go no further."""
    (empty / "half").write_text("")
    then()


def build(work):
    """Fill a folder of the cache, or not."""
    folder, then = work
    cached_folder(folder, functools.partial(half, then))


def hang():
    """Take for ever."""
    time.sleep(1000)


def give_up():
    """Be killed, so that nothing of this process goes on."""
    os.kill(os.getpid(), signal.SIGKILL)


def sites(root):
    """What is half built."""
    return list(root.rglob(f"{SITE}*"))


def await_site(root):
    """Wait until somebody builds."""
    limit = time.monotonic() + 60
    while not any(root.rglob("half")):
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_worker_that_is_ended_with_its_engine(own_cache):
    """Closing removes what it had begun, with dashes in its name too; a complete folder stays."""
    cached_folder(own_cache / "data" / "whole", lambda empty: (empty / "file").write_text(""))
    engine = LocalEngine(1)
    engine.submit(build, (own_cache / "page" / "1.9-post-1", hang), None)
    await_site(own_cache)
    engine.close()
    assert sites(own_cache) == []
    assert (own_cache / "data" / "whole" / "file").exists()
    assert not (own_cache / "page" / "1.9-post-1").exists()


def test_a_worker_that_was_lost(own_cache):
    """What it left goes when its engine is closed, long after."""
    engine = LocalEngine(1)
    lost = engine.submit(build, (own_cache / "originals" / "aa", give_up), None)
    assert lost.exception() is not None
    assert sites(own_cache)
    engine.close()
    assert sites(own_cache) == []


def test_what_another_run_builds_stays(own_cache):
    """Its lock is held; once that run is gone, any other removes what it left."""
    left = own_cache / "data" / f"{SITE}aa-1"
    left.mkdir(parents=True)
    with FileLock(lock_of(own_cache / "data" / "aa")):
        sweep()
        assert left.exists()
    sweep()
    assert not left.exists()
