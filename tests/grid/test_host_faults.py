"""What a machine loses while a run is on is made again, or its cells are left undone: never the tuner's error."""

from __future__ import annotations

import shutil

import pytest

from tunebench.datasets import Place
from tunebench.grid import plan, runner
from tunebench.grid.observer import Silent
from tunebench.grid.readiness import make_ready, ready
from tunebench.grid.suite import Suite
from tunebench.networks.originals import data_folder
from tunebench.results.store import Store
from tunebench.workers.engines import LocalEngine


@pytest.fixture(scope="module")
def engine():
    """One worker at a time."""
    engine = LocalEngine(1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def grid(own_cache, engine, tmp_path_factory):
    """The options and the one job of a grid whose network no other test uses."""
    options = plan.RunOptions(tmp_path_factory.mktemp("grid"))
    suite = Suite(models=("mlp:7",), tuners=("logit-bias",), targets=("1",), seeds=1, trials=2, recipe="quick")
    made = plan.make_plan(suite, options)
    records = runner.train_originals(made, engine, Silent(), options)
    return options, list(plan.make_jobs(made, records, options))


def lose_original(job):
    """As ``rm -rf`` leaves it."""
    shutil.rmtree(job.original.folder)


def lose_data(job):
    """The data, but not the original."""
    shutil.rmtree(data_folder(job.original.data))


def lose_half(job):
    """One file of the original, cut short."""
    (job.original.folder / "activations.safetensors").write_bytes(b"12345678")


@pytest.mark.parametrize("lose", [lose_original, lose_data, lose_half])
def test_what_is_lost_between_two_cells_is_made_again(grid, engine, tmp_path, lose):
    """The cell is computed from an original that was trained again, and its latency is measured."""
    options, jobs = grid
    lose(jobs[0])
    assert not ready(jobs[0])
    store = Store(tmp_path)
    assert runner.run_cells(jobs, store, engine, Silent(), options, 60) == {"ok": 1}
    assert ready(jobs[0])
    runner.time_cells(jobs, store, engine, Silent(), options, 60)
    assert store.get("times", jobs[0].cell)["status"] == "ok"


def test_latency_that_cannot_be_measured_is_measured_next_time(grid, engine, tmp_path):
    """With the original gone nothing is stored, where an error would stay for good."""
    options, jobs = grid
    store = Store(tmp_path)
    runner.run_cells(jobs, store, engine, Silent(), options, 60)
    lose_original(jobs[0])
    runner.time_cells(jobs, store, engine, Silent(), options, 60)
    assert store.get("times", jobs[0].cell) is None
    make_again(jobs[0], engine)


def test_data_that_is_gone_for_good_leaves_the_cell_undone(grid, engine, tmp_path):
    """Neither cache nor data folder: tried three times, told why, recorded never."""
    from dataclasses import replace

    options, (job,) = grid
    gone = replace(job, original=replace(job.original, dataset="mnist", data="0" * 64), place=Place(tmp_path))
    told = []

    class Told(Silent):
        def warn(self, text):
            told.append(text)

    store = Store(tmp_path / "out")
    assert runner.run_cells([gone], store, engine, Told(), options, 60) == {"not done": 1}
    assert store.get("cells", gone.cell) is None
    assert "is not done: " in told[-1]
    assert "\n" not in told[-1]


def make_again(job, engine):
    """For the tests that follow."""
    engine.submit(make_ready, job, None).result()
    assert ready(job)
