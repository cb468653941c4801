"""What a grid costs beside the cells themselves."""

from __future__ import annotations

import gc
import time

import psutil
from helpers import finish

from tunebench import plan, runner
from tunebench.engines import LocalEngine
from tunebench.plugins import PluginFile
from tunebench.store import Store
from tunebench.suite import Suite

CELLS = 1000
TRIVIAL = b"""
from tunebench import LogitEdit, Tuner, hookimpl

class Trivial(Tuner):
    def __init__(self, number):
        self.name = f"trivial-{number}"

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task)

@hookimpl
def tunebench_tuners():
    return [Trivial(number) for number in range(50)]
"""


class Memory(runner.Silent):
    """Takes this process's memory, in bytes, after every cell."""

    def __init__(self):
        self.seen = []

    def step(self, note):
        """See `tunebench.runner.Observer`."""
        self.seen.append(psutil.Process().memory_info().rss)


def test_a_thousand_trivial_cells(own_cache, tmp_path):
    """1,000 cells that do nothing: at most 150 ms each with two workers, and the runner's memory stays flat."""
    suite = Suite(
        datasets=("digits",),
        models=("mlp:8",),
        tuners=("trivial-*",),
        targets=("all",),
        seeds=2,
        trials=2,
        recipe="quick",
    )
    options = plan.RunOptions(tmp_path / "out", 2, plugins=(PluginFile("trivial.py", TRIVIAL),))
    made = plan.make_plan(suite, options)
    engine, memory = LocalEngine(2, 2**31), Memory()
    records = runner.train_originals(made, engine, runner.Silent(), options)
    jobs = list(plan.make_jobs(made, records, options))
    assert len(jobs) == CELLS
    gc.collect()
    began = time.perf_counter()
    counts = runner.run_cells(jobs, Store(options.out), engine, memory, options, 60)
    each = (time.perf_counter() - began) / CELLS
    engine.close()
    assert counts == {"ok": CELLS}
    growth = max(memory.seen[-100:]) - max(memory.seen[100:200])
    print(f"{1000 * each:.0f} ms per cell with 2 workers; memory grew by {growth / 2**20:.1f} MiB over 800 cells")
    assert each <= 0.150
    assert growth < 20 * 2**20


def test_nothing_to_do_is_quick(own_cache, tmp_path):
    """A second run of a finished grid computes nothing."""
    grid = ("run", "-d", "digits", "-m", "mlp:8", "--seeds", "1", "--trials", "2", "-t", "original", "-q")
    finish(*grid, "-o", tmp_path / "out", cache=tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*s/**/*.json")}
    finish(*grid, "-o", tmp_path / "out", cache=tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in before} == before
