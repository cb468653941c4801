"""What a grid costs beside the cells themselves."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import psutil
import pytest
import trivial
import tunebench_finetune
from helpers import finish

from tunebench.grid import plan, runner
from tunebench.grid.evaluation import run_cell
from tunebench.grid.observer import Silent
from tunebench.grid.suite import Suite
from tunebench.plugins import PluginFile
from tunebench.results.store import Store
from tunebench.workers.engines import LocalEngine

CELLS = 1000
TRAINED = [tuner.name for tuner in tunebench_finetune.tunebench_tuners()]


class Memory(Silent):
    """Takes this process's memory, in bytes, after every cell."""

    def __init__(self):
        self.seen = []

    def step(self, note):
        """See `tunebench.grid.observer.Observer`."""
        self.seen.append(psutil.Process().memory_info().rss)


def processor_time():
    """Seconds of processor time that this process, the server of workers and all ended workers have taken."""
    mine = psutil.Process()
    return sum(mine.cpu_times()[:2]) + sum(sum(child.cpu_times()[:4]) for child in mine.children())


def test_a_thousand_trivial_cells(own_cache, tmp_path):
    """1,000 cells that do nothing: an overhead of at most 100 ms each, and the runner's memory stays flat."""
    suite = Suite(
        datasets=("digits",),
        models=("mlp:8",),
        tuners=("trivial-*",),
        targets=("all",),
        seeds=2,
        trials=2,
        recipe="quick",
    )
    options = plan.RunOptions(tmp_path / "out", 2, plugins=(PluginFile.read(Path(trivial.__file__)),))
    made = plan.make_plan(suite, options)
    engine, memory = LocalEngine(2, 2**31), Memory()
    records = runner.train_originals(made, engine, Silent(), options)
    jobs = list(plan.make_jobs(made, records, options))
    assert len(jobs) == CELLS
    run_cell(jobs[0])  # once, for what this process has not imported yet
    alone = time.process_time()
    for job in jobs[:20]:
        run_cell(job)
    alone = (time.process_time() - alone) / 20
    engine.submit(len, (), None).result()  # the server has started
    gc.collect()
    spent, began = processor_time(), time.perf_counter()
    counts = runner.run_cells(jobs, Store(options.out), engine, memory, options, 60)
    wall, spent = (time.perf_counter() - began) / CELLS, (processor_time() - spent) / CELLS
    engine.close()
    assert counts == {"ok": CELLS}
    growth = max(memory.seen[-100:]) - max(memory.seen[100:200])
    print(
        f"overhead {1000 * (spent - alone):.0f} ms of processor time beside {1000 * alone:.0f} ms of a cell's own; "
        f"{1000 * wall:.0f} ms on the clock with 2 workers; memory grew by {growth / 2**20:.1f} MiB over 800 cells"
    )
    assert spent - alone <= 0.100
    assert growth < 20 * 2**20


def test_nothing_to_do_is_quick(own_cache, tmp_path):
    """A second run of a finished grid computes nothing."""
    grid = ("run", "-d", "digits", "-m", "mlp:8", "--seeds", "1", "--trials", "2", "-t", "original", "-q")
    finish(*grid, "-o", tmp_path / "out", cache=tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*s/**/*.json")}
    finish(*grid, "-o", tmp_path / "out", cache=tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("name", ["smvt-sj", "cw-p", "cs-p", "cs-p-ft", *TRAINED])
def test_a_check_takes_seconds(name, tmp_path):
    """`tunebench check` on a bundled tuner, start-up included, takes at most 20 seconds."""
    assert finish("check", name, cache=tmp_path / "cache") <= 20
