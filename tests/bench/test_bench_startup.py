"""What a user waits for beside the computing: start-up, a finished grid, and what two cores bring."""

from __future__ import annotations

import subprocess
import sys
import time

from references import alternate, note

from tunebench.grid import plan, runner
from tunebench.grid.observer import Silent
from tunebench.grid.suite import Suite
from tunebench.results.store import Store
from tunebench.workers.engines import LocalEngine

WORK = 60
"""Seconds of work, at least, in the grid that is run with one worker and with two."""


def process(*arguments):
    """A function that runs ``python ARGUMENTS`` to its end."""
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def test_help(benchmark):
    """`tunebench --help` takes at most ten times as long as Python alone."""
    show = process("-m", "tunebench", "--help")
    ratio = alternate(show, process("-c", "pass"), 11, time.perf_counter)
    note(benchmark, "`tunebench --help`", "`python -c pass`", ratio, 10)
    benchmark.pedantic(show, rounds=3)
    assert ratio <= 10


def test_finished_grid(benchmark, tmp_path):
    """A finished grid is looked through and printed in twice the time of importing torch and pandas."""
    run = ("run", "-d", "digits", "-t", "original", "-t", "*sj*", "--trials", "5", "-q", "-o", str(tmp_path / "out"))
    again = process("-m", "tunebench", *run)
    again()
    ratio = alternate(again, process("-c", "import torch, pandas"), 7, time.perf_counter)
    note(benchmark, "re-running a finished grid", "`import torch, pandas`", ratio, 2.0)
    benchmark.pedantic(again, rounds=3)
    assert ratio <= 2.0


def test_two_workers(benchmark, tmp_path):
    """Two workers bring a grid of a minute down to at most 0.62 of the time of one."""
    suite = Suite(
        datasets=("digits",),
        models=("model1", "model2"),
        tuners=("*-finetune", "dwb-loss", "logit-*", "*sj*"),
        seeds=4,
        trials=90,
        recipe="quick",
    )
    seconds = {}
    for jobs in (1, 2):
        options = plan.RunOptions(tmp_path / str(jobs), jobs)
        made, engine = plan.make_plan(suite, options), LocalEngine(jobs)
        records = runner.train_originals(made, engine, Silent(), options)
        cells = list(plan.make_jobs(made, records, options))
        start = time.perf_counter()
        assert runner.run_cells(cells, Store(options.out), engine, Silent(), options, 600) == {"ok": len(cells)}
        seconds[jobs] = time.perf_counter() - start
        engine.close()
    assert seconds[1] >= WORK
    note(benchmark, f"a grid of {len(cells)} cells with -j 2", "with -j 1", seconds[2] / seconds[1], 0.62)
    benchmark.pedantic(lambda: None)
    assert seconds[2] <= 0.62 * seconds[1]
