"""A server of workers that is started late: by a grid that is resumed, and not at all by one that is finished."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tunebench.datasets import Place
from tunebench.grid import estimate
from tunebench.grid.plan import RunOptions
from tunebench.own import comparison
from tunebench.workers import server

RUN = """
import os, sys
from multiprocessing import forkserver
from tunebench.cli import main

try:
    main(sys.argv[1:])
except SystemExit as end:
    print("server", forkserver._forkserver._forkserver_pid is not None, "exit", end.code)
"""
PLUGIN = """
import os
from tunebench import LogitEdit, Tuner

os.environ["TRACE_OF_A_PLUGIN"] = "1"
os.environ.pop("MEANT_FOR_CELLS", None)


class Looks(Tuner):
    name = "looks"

    def tune(self, task, params, prepared):
        with open("/proc/%d/environ" % os.getppid(), "rb") as file:
            inherited = file.read().decode().split(chr(0))
        assert "MEANT_FOR_CELLS=yes" in inherited, "a variable of the user is lost"
        assert not any(entry.startswith("TRACE_OF_A_PLUGIN") for entry in inherited), "a plugin's is there"
        return LogitEdit.of_target(task, bias=1.0)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads the environment of a process from /proc")
def test_a_resumed_grid_has_the_users_environment_and_a_finished_one_no_server(own_cache, tmp_path):
    """What a plugin does to the environment when it is looked at reaches no server that is started afterwards."""
    (tmp_path / "run.py").write_text(RUN)
    (tmp_path / "tuner.py").write_text(PLUGIN)
    env = {**os.environ, "MEANT_FOR_CELLS": "yes"}
    flags = ("-d", "digits", "-m", "mlp:8", "--plugin", "tuner.py", "--trials", "2", "-q", "-o", "out", "-j", "1")

    def run(*more):
        command = [sys.executable, "run.py", "run", *flags, *more]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.stdout.splitlines()[-1], done.stdout + done.stderr

    end, said = run("-t", "original", "--seeds", "1")
    assert end == "server True exit 0", said
    end, said = run("-t", "looks", "--seeds", "1")
    assert end == "server True exit 0", said
    end, said = run("-t", "looks", "--seeds", "1")
    assert end == "server False exit 0", said


class Stopped(Exception):
    """Far enough."""


@pytest.mark.parametrize(
    ("module", "loads", "call"),
    [
        (estimate, "make_plan", lambda options: estimate.describe(None, options)),
        (comparison, "load_registry", lambda options: comparison.compare(*[SimpleNamespace()] * 3, options, None)),
    ],
    ids=["run --dry-run", "tune"],
)
def test_workers_have_the_environment_from_before_any_plugin(monkeypatch, tmp_path, module, loads, call):
    """Whoever starts workers after plugins were loaded has kept what the user's environment was."""

    def load(*_):
        monkeypatch.setenv("TRACE_OF_A_PLUGIN", "1")
        raise Stopped

    monkeypatch.setattr(server, "KEPT", {})
    monkeypatch.setattr(module, loads, load)
    monkeypatch.delenv("TRACE_OF_A_PLUGIN", raising=False)
    before = dict(os.environ)
    with pytest.raises(Stopped):
        call(RunOptions(out=tmp_path, jobs=1, place=Place(tmp_path)))
    assert before == server.KEPT


def test_an_environment_comes_and_goes(monkeypatch):
    """Inside it is the one that is wanted, afterwards the one before, whatever was added, changed or removed."""
    monkeypatch.setenv("STAYS", "1")
    monkeypatch.setenv("CHANGES", "1")
    monkeypatch.setenv("GOES", "1")
    monkeypatch.delenv("COMES", raising=False)
    before = dict(os.environ)
    wanted = {name: value for name, value in before.items() if name != "GOES"} | {"CHANGES": "2", "COMES": "1"}
    with server.environment(wanted):
        assert dict(os.environ) == wanted
    assert dict(os.environ) == before
