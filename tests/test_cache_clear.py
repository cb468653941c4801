"""Clearing the cache beside running runs: what they use is left, what is nobody's goes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tunebench.cache import RUNS, cache_root, clear_cache, in_use


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


CLEARS = """
import json
from pathlib import Path

from tunebench.cache import cache_root, clear_cache
from tunebench.grid.observer import Silent
from tunebench.grid.plan import RunOptions
from tunebench.grid.runner import run
from tunebench.grid.suite import Suite

seen = {"runs": [], "freed": [], "originals": [], "warned": []}

def originals():
    seen["originals"].append({path.name: path.stat().st_ino for path in cache_root().glob("originals/*/*")})

class Clears(Silent):
    def stage(self, name, total):
        if name in ("cells", "latency"):
            originals()
            done = clear_cache()
            seen["runs"].append(done.runs)
            seen["freed"].append(done.freed)
            originals()

    def warn(self, text):
        seen["warned"].append(text)

if __name__ == "__main__":
    suite = Suite(
        datasets=("digits",), models=("mlp:8",), tuners=("original", "logit-bias"), seeds=1, trials=2, recipe="quick"
    )
    seen["counts"] = run(suite, RunOptions(Path("out"), 1), Clears())
    originals()
    print(json.dumps(seen | {"later": clear_cache().runs}))
"""


def test_clearing_in_the_middle_of_a_run(root, tmp_path):
    """The run is on and says so: its data and its original stay as they are, and every cell and time comes out."""
    home = tmp_path / "home"  # not beside the cache, a folder that is called tunebench
    home.mkdir()
    (home / "clears.py").write_text(CLEARS)
    # In a process of its own: the server that workers are forked from keeps the cache that it began with.
    done = subprocess.run([sys.executable, "clears.py"], cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["counts"], seen["warned"], seen["runs"]) == ({"ok": 2}, [], [1, 1])
    assert seen["freed"][0] >= 4e6  # what the fixture put there is nobody's
    first, *others = seen["originals"]
    del first["file"]
    assert len(first) >= 1
    assert others == [first] * 4
    assert seen["later"] == 0
    assert not root.exists()
