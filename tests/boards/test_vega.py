"""The script of a page is written beside the cells of a run, and by the page itself where that failed."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from conftest import run_command

from tunebench.boards import vega
from tunebench.errors import StoreError, UsageError
from tunebench.grid import plan, runner
from tunebench.grid.observer import Silent
from tunebench.grid.suite import Suite

GRID = ("run", "-d", "digits", "-m", "mlp:8", "-t", "original", "--seeds", "1", "--trials", "2", "--recipe", "quick")
SUITE = Suite(models=("mlp:8",), tuners=("original",), seeds=1, trials=2, recipe="quick")


class Looking(Silent):
    """Notes at every stage whether a file is there."""

    def __init__(self, path):
        self.path, self.seen = path, {}

    def stage(self, name, total):
        """See `tunebench.grid.observer.Observer`."""
        self.seen[name] = self.path.exists()


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A new folder as cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def slowly(path):
    """Write a file, but not at once."""
    time.sleep(3)
    path.write_text(str(os.getpid()))


def test_the_page_finds_a_script_that_another_process_wrote(own_cache, tmp_path, monkeypatch):
    """A run that finds no script bundles none itself: the page takes what a worker has written meanwhile."""

    def refuse(folder):
        raise AssertionError("bundled by the run itself")

    shutil.rmtree(vega.folder(), ignore_errors=True)
    monkeypatch.setattr(vega, "bundle", refuse)  # here; workers import the room anew
    assert run_command(*GRID, "-q", "--no-latency", "-o", tmp_path / "out").code == 0
    assert vega.script()[:1000] in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_it_has_ended_before_latency_is_measured(own_cache, tmp_path):
    """An errand runs beside originals and cells, never beside what is timed."""
    done = tmp_path / "done"
    watcher = Looking(done)
    runner.run(SUITE, plan.RunOptions(tmp_path / "out"), watcher, functools.partial(slowly, done))
    assert watcher.seen["cells"] is False
    assert watcher.seen["latency"] is True
    assert done.read_text() != str(os.getpid())


def test_a_page_writes_a_script_that_is_missing(nowhere):
    """Whatever became of the errand, also one that was killed while it wrote."""
    left = vega.folder().parent / f".building-{vega.folder().name}-1"
    left.mkdir(parents=True)
    (left / vega.NAME).write_text("half")
    assert "vegaEmbed" in vega.script()
    assert not left.exists()
    assert "</script" not in vega.script()


def test_a_cache_that_cannot_be_written_costs_seconds_only(nowhere):
    """The errand fails in one line, the page has its script all the same."""
    nowhere.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot write the cache"):
        vega.make()
    assert "vegaEmbed" in vega.script()


@pytest.mark.parametrize("damage", ["gone", "no text"])
def test_a_cache_without_its_script_costs_seconds_only(nowhere, damage):
    """The folder is there, what was in it is not any more."""
    vega.folder().mkdir(parents=True)
    if damage == "no text":
        (vega.folder() / vega.NAME).write_bytes(b"\xff\xfe\xff")
    assert "vegaEmbed" in vega.script()


LATE = """
import sys
from pathlib import Path
from tunebench.boards import leaderboard, tables
board = leaderboard.build(Path(sys.argv[1]))
tables.load_page()
before = set(sys.modules)
tables.render(board, "html")
print({name.partition(".")[0] for name in set(sys.modules) - before} & {"pandas", "altair", "jinja2", "scipy"})
"""
"""What of its libraries a page still imports once they are loaded."""


def test_a_page_that_was_loaded_before_imports_no_library(digits_run):
    """A new run loads them while its workers start, so that writing its page waits for none."""
    done = subprocess.run([sys.executable, "-c", LATE, digits_run], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_libraries_are_loaded_once_names_are_resolved(tmp_path):
    """A wrong name is told before."""
    asked = []
    with pytest.raises(UsageError, match="nonsense"):
        runner.run(
            replace(SUITE, tuners=("nonsense",)), plan.RunOptions(tmp_path), meanwhile=lambda: asked.append("wrong")
        )
    runner.run(SUITE, plan.RunOptions(tmp_path, latency=False), meanwhile=lambda: asked.append("right"))
    assert asked == ["right"]
