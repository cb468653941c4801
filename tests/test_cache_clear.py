"""Clearing the cache beside running runs: what they use is left, what is nobody's goes."""

from __future__ import annotations

import json

import pytest

from tunebench.cache import RUNS, cache_root, clear_cache, in_use
from tunebench.grid.observer import Silent
from tunebench.grid.plan import RunOptions
from tunebench.grid.runner import run
from tunebench.grid.suite import Suite


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A cache with two data sets, an original and code, a megabyte each."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("data/aa", "data/bb", "originals/cc", "code/dd"):
        (cache_root() / name).mkdir(parents=True)
        (cache_root() / name / "file").write_bytes(bytes(10**6))
    return cache_root()


def test_what_a_running_run_uses_is_left(root):
    """Its folders, their locks and what it is just building stay; everything else goes; the figures add up."""
    (root / "originals" / ".building-ee-x1").mkdir()
    (root / "data" / "aa.lock").touch()
    (root / "data" / "bb.lock").touch()
    with in_use([root / "data" / "aa", root / "originals" / "ee"]):
        done = clear_cache()
        assert {path.name for path in (root / "data").iterdir()} == {"aa", "aa.lock"}
        assert [path.name for path in (root / "originals").iterdir()] == [".building-ee-x1"]
        assert not (root / "code").exists()
        assert done.runs == 1
        assert done.freed == pytest.approx(3e6, abs=1000)
        assert done.left == pytest.approx(1e6, abs=1000)
    assert clear_cache().runs == 0
    assert not root.exists()


def test_two_runs_keep_what_either_uses(root):
    """A run that ends first takes nothing from the other."""
    with in_use([root / "data" / "aa"]), in_use([root / "data" / "bb"]):
        assert clear_cache().runs == 2
        assert {path.name for path in (root / "data").iterdir()} == {"aa", "bb"}


def test_a_run_that_was_killed_keeps_nothing(root):
    """Its note is there and its lock is free: nobody uses what it names."""
    (root / RUNS).mkdir()
    (root / RUNS / "host-1-2.json").write_text(json.dumps(["data/aa"]))
    assert clear_cache().runs == 0
    assert not root.exists()


def test_the_command_says_what_it_left(root, tunebench):
    """Bytes freed, bytes left, and for whom."""
    with in_use([root / "data" / "aa"]):
        done = tunebench("cache", "clear")
    assert done.out.startswith("freed 3.0 MB in ")
    assert done.out.endswith("; left 1.0 MB for 1 run that is on\n")


class Clears(Silent):
    """Clears the cache when cells, and when latency, begin; keeps what came of it and what was warned of."""

    def __init__(self):
        self.done, self.originals, self.warned = {}, [], []

    def stage(self, name, total):
        """See `tunebench.grid.observer.Observer`."""
        if name in ("cells", "latency"):
            self.done[name] = clear_cache()
            self.originals.append({path: path.stat().st_ino for path in cache_root().glob("originals/*/*")})

    def warn(self, text):
        """See `tunebench.grid.observer.Observer`."""
        self.warned.append(text)


def test_clearing_in_the_middle_of_a_run(root, tmp_path):
    """The run is on and says so: its data and its original stay as they are, and every cell and time comes out."""
    suite = Suite(
        datasets=("digits",), models=("mlp:8",), tuners=("original", "logit-bias"), seeds=1, trials=2, recipe="quick"
    )
    observer = Clears()
    counts = run(suite, RunOptions(tmp_path / "out", 1), observer)
    assert (counts, observer.warned) == ({"ok": 2}, [])
    assert {name: done.runs for name, done in observer.done.items()} == {"cells": 1, "latency": 1}
    assert observer.done["cells"].freed >= 4e6  # what the fixture put there is nobody's
    first, second = observer.originals
    assert first
    assert first == second == {path: path.stat().st_ino for path in cache_root().glob("originals/*/*")}
    assert clear_cache().runs == 0
    assert not root.exists()
