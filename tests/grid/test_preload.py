"""What the server of workers has loaded, so that no cell has to."""

import sys

import pytest

from tunebench.grid import plan, runner
from tunebench.grid.evaluation import run_cell
from tunebench.grid.latency import time_cell
from tunebench.grid.observer import Silent
from tunebench.grid.suite import Suite
from tunebench.workers.engines import LocalEngine

OWN = "tunebench_"
"""How packages of plugins begin: workers alone import them, and each only its own."""


def imported_by(job):
    """Status of a cell and of its timing, and the modules that the two import in their worker."""
    before = set(sys.modules)
    record = run_cell(job)
    statuses = [record["status"], time_cell(job, record)["status"]]
    return statuses, sorted(name for name in set(sys.modules) - before if not name.startswith(OWN))


@pytest.mark.parametrize("tuner", ["logit-bias", "smvt-sj", "weighted-finetune"])
def test_a_cell_imports_only_its_plugin(own_cache, tmp_path, tuner):
    """The server has imported whatever a cell needs: there it costs once what it would cost every cell."""
    suite = Suite(models=("mlp:8",), tuners=(tuner,), targets=("8",), seeds=1, trials=2, recipe="quick")
    options = plan.RunOptions(tmp_path)
    made, engine = plan.make_plan(suite, options), LocalEngine(1)
    records = runner.train_originals(made, engine, Silent(), options)
    (job,) = plan.make_jobs(made, records, options)
    assert engine.submit(imported_by, job, 60).result() == (["ok", "ok"], [])
    engine.close()
