"""Errands: done in a process of their own, not waited for longer than they run, and nobody's fault when they fail."""

from __future__ import annotations

import functools
import os
import resource
import sys
import time

import psutil
import pytest

from tunebench.errors import HostFault, StoreError
from tunebench.workers import errand
from tunebench.workers.engines import LocalEngine


@pytest.fixture
def engine():
    """An engine whose workers get a gibibyte each."""
    engine = LocalEngine(1, 2**30)
    yield engine
    engine.close()


def leave(path):
    """Print, and write down who is at work and how much memory it may take."""
    print("noise", flush=True)
    path.write_text(f"{os.getpid()} {resource.getrlimit(resource.RLIMIT_DATA)[0]}")


def fail():
    """Find the disk full."""
    raise StoreError("no space")


def give_up():
    """Be killed."""
    os.kill(os.getpid(), 9)


def last(path):
    """Say who is at work, and never return."""
    path.write_text(str(os.getpid()))
    time.sleep(1000)


def test_it_is_done_elsewhere_without_the_limit_of_a_tuner(engine, tmp_path, capfd):
    """In another process, silently, with as much memory as the machine gives."""
    errand.await_end(errand.send(engine, functools.partial(leave, tmp_path / "found")))
    process, limit = map(int, (tmp_path / "found").read_text().split())
    assert process != os.getpid()
    assert limit == resource.getrlimit(resource.RLIMIT_DATA)[1]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("deed", [fail, give_up, functools.partial(sys.exit, 3)], ids=["raises", "is killed", "exits"])
def test_a_failure_is_not_told(engine, deed):
    """However it ends, whoever waits goes on."""
    sent = errand.send(engine, deed)
    errand.await_end(sent)
    assert sent.exception() is not None


def test_one_that_takes_too_long_is_ended(engine, tmp_path, monkeypatch):
    """A run does not hang for it, and its process is gone."""
    monkeypatch.setattr(errand, "SECONDS", 2.0)
    sent = errand.send(engine, functools.partial(last, tmp_path / "found"))
    errand.await_end(sent)
    assert isinstance(sent.exception(), TimeoutError)
    engine.close()
    assert not psutil.pid_exists(int((tmp_path / "found").read_text()))


def test_one_that_cannot_be_started_is_not_told(engine, monkeypatch):
    """A machine without room for a process does the rest of a run all the same."""

    def refuse(start):
        raise HostFault("no worker process can be started")

    monkeypatch.setattr(engine.context, "persistent", refuse)
    errand.await_end(errand.send(engine, fail))


def test_it_ends_with_its_engine(engine, tmp_path):
    """Ctrl-C closes the engine, and that ends an errand under way."""
    sent = errand.send(engine, functools.partial(last, tmp_path / "found"))
    while not (tmp_path / "found").is_file() or not (tmp_path / "found").read_text():
        time.sleep(0.01)
    engine.close()
    assert sent.cancelled()
    assert not psutil.pid_exists(int((tmp_path / "found").read_text()))
