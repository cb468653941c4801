"""What a grid costs beside the cells themselves: measured for a test with a bound, and for the table of performance."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import trivial

from tunebench.grid import plan, runner
from tunebench.grid.evaluation import run_cell
from tunebench.grid.observer import Silent
from tunebench.grid.suite import Suite
from tunebench.plugins import PluginFile
from tunebench.results.store import Store
from tunebench.workers.engines import LocalEngine


class Memory(Silent):
    """Takes this process's memory, in bytes, after every cell."""

    def __init__(self):
        self.seen = []

    def step(self, note):
        """See `tunebench.grid.observer.Observer`."""
        self.seen.append(psutil.Process().memory_info().rss)


class Measured(NamedTuple):
    """Of a grid of trivial cells with two workers; seconds are per cell."""

    counts: dict[str, int]
    overhead: float
    """Processor time of all processes beside `alone`."""
    alone: float
    """Processor time of a cell that is computed in this very process."""
    wall: float
    """On the clock."""
    memory: list[int]
    """Bytes of the runner after every cell."""


def processor_time():
    """Seconds of processor time that this process, the server of workers and all ended workers have taken."""
    mine = psutil.Process()
    return sum(mine.cpu_times()[:2]) + sum(sum(child.cpu_times()[:4]) for child in mine.children())


def measured(out, tuners, seeds):
    """`Measured` of ten targets x ``seeds`` x the trivial tuners that a glob names, in the folder ``out``."""
    suite = Suite(
        datasets=("digits",),
        models=("mlp:8",),
        tuners=(tuners,),
        targets=("all",),
        seeds=seeds,
        trials=2,
        recipe="quick",
    )
    options = plan.RunOptions(out, 2, plugins=(PluginFile.read(Path(trivial.__file__)),))
    made = plan.make_plan(suite, options)
    engine, memory = LocalEngine(2, 2**31), Memory()
    records = runner.train_originals(made, engine, Silent(), options)
    jobs = list(plan.make_jobs(made, records, options))
    run_cell(jobs[0])  # once, for what this process has not imported yet
    alone = time.process_time()
    for job in jobs[:20]:
        run_cell(job)
    alone = (time.process_time() - alone) / 20
    engine.submit(len, (), None).result()  # the server has started
    gc.collect()
    spent, began = processor_time(), time.perf_counter()
    counts = runner.run_cells(jobs, Store(options.out), engine, memory, options, 60)
    wall, spent = (time.perf_counter() - began) / len(jobs), (processor_time() - spent) / len(jobs)
    engine.close()
    return Measured(counts, spent - alone, alone, wall, memory.seen)
