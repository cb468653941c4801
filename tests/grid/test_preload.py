"""What the server of workers has loaded, so that no cell has to."""

import os
import subprocess
import sys
from contextlib import closing

import pytest
import torch

from tunebench.grid import plan, runner
from tunebench.grid.evaluation import run_cell
from tunebench.grid.latency import time_cell
from tunebench.grid.observer import Silent
from tunebench.grid.readiness import make_ready
from tunebench.grid.suite import Suite
from tunebench.workers.engines import LocalEngine
from tunebench.workers.server import SETTINGS

OWN = "tunebench_"
"""How packages of plugins begin: workers alone import them, and each only its own."""


def imported_by(job):
    """Status of a cell and of its timing, and the modules that the two import in their worker."""
    before = set(sys.modules)
    record = run_cell(job)
    statuses = [record["status"], time_cell(job, record)["status"]]
    return statuses, sorted(name for name in set(sys.modules) - before if not name.startswith(OWN))


def asked_of_a_worker(question, tuner, folder):
    """What ``question`` answers of a cell of ``tuner``, in a worker."""
    suite = Suite(models=("mlp:8",), tuners=(tuner,), targets=("8",), seeds=1, trials=2, recipe="quick")
    options = plan.RunOptions(folder)
    made, engine = plan.make_plan(suite, options), LocalEngine(1)
    records = runner.train_originals(made, engine, Silent(), options)
    (job,) = plan.make_jobs(made, records, options)
    with closing(engine):
        return engine.submit(question, job, 60).result()


@pytest.mark.parametrize("tuner", ["logit-bias", "smvt-sj", "weighted-finetune"])
def test_a_cell_imports_only_its_plugin(own_cache, tmp_path, tuner):
    """The server has imported whatever a cell needs: there it costs once what it would cost every cell."""
    assert asked_of_a_worker(imported_by, tuner, tmp_path) == (["ok", "ok"], [])


def arithmetic(job):
    """Threads, and whether cuDNN may use TF32 and must be deterministic, after each kind of work."""
    found = []
    for work in (run_cell, lambda job: time_cell(job, run_cell(job)), make_ready):
        torch.set_num_threads(2)
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = True, False
        work(job)
        found.append((torch.get_num_threads(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic))
    return found


def test_workers_take_no_shortcuts(own_cache, tmp_path):
    """Whatever a worker does it does on one thread, in full float32, and the same every time."""
    assert asked_of_a_worker(arithmetic, "logit-bias", tmp_path) == [(1, False, True)] * 3


def with_settings(program, settings):
    """How ``program`` ends where ``settings`` alone are set, and its output is a pipe, which Python buffers."""
    others = {name: value for name, value in os.environ.items() if name not in {*SETTINGS, "PYTHONUNBUFFERED"}}
    return subprocess.run([sys.executable, "-c", program], env=others | settings, capture_output=True, text=True)


AS_ON_A_GPU = """
import torch
asked = []
torch.version.cuda = "13.0"
torch._C._cuda_getDeviceCount = lambda: asked.append("CUDA") or 1
torch.cuda.device_count = lambda: 1
import tunebench.grid.preload
print(asked)
import torch.utils.cpp_extension
print(asked)
"""
"""A torch that is built for GPUs, of which there is one; prints what CUDA was asked by the server's imports, and by
then by a module that looks for a GPU.
"""


@pytest.mark.parametrize(("settings", "asked"), [(SETTINGS, []), ({}, ["CUDA"])])
def test_workers_can_use_a_gpu(settings, asked):
    """The server asks nothing of CUDA itself, or no worker forked from it could; nor does what looks for a GPU, which
    would without our settings.
    """
    done = with_settings(AS_ON_A_GPU, settings | {"CUDA_HOME": "/nowhere"})
    assert done.stdout.splitlines()[-2:] == ["[]", f"{asked}"], done.stderr


LEAVING = """
import atexit
print("begun")
atexit.register(print, "taken apart")
import tunebench.grid.preload
"""


@pytest.mark.parametrize(("settings", "said"), [(SETTINGS, ""), ({}, "taken apart\n")])
def test_the_server_ends_at_once(settings, said):
    """It holds the run's output open, and would take longer to take apart what it imported; others end as always."""
    done = with_settings(LEAVING, settings)
    assert (done.returncode, done.stdout) == (0, f"begun\n{said}"), done.stderr
