"""Isolation: whatever a tuner does costs its own cell and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import misbehaving
import psutil
import pytest
from conftest import run_command

from tunebench.console import KEPT
from tunebench.errors import StoreError
from tunebench.results.store import Store
from tunebench.workers import isolation
from tunebench.workers.engines import LocalEngine

PLUGIN = Path(misbehaving.__file__)
EXPECTED = {deed.__name__.replace("_", "-"): what for deed, what in misbehaving.EXPECTED.items()}
EXPECTED |= {tuner.name: what for tuner, what in misbehaving.OTHERS.items()}
LOADING = 40 * 2**20
"""Bytes of a process that has begun to import torch and is far from done."""
GRID = ("run", "-d", "digits", "-m", "mlp:8", "--target", "1", "--seeds", "1", "--trials", "2", "--plugin", PLUGIN)


def records_of(out):
    """Every record of a run folder, by tuner."""
    store = Store(out)
    return {cell.tuner: store.get("cells", cell) for cell, _ in store.cells()}


@pytest.fixture(scope="module")
def grid(own_cache, tmp_path_factory):
    """One run of all misbehaving tuners beside good ones; its folder and what the command said."""
    out = tmp_path_factory.mktemp("runs") / "misbehaving"
    tuners = [part for name in (*EXPECTED, "original", "logit-bias") for part in ("-t", name)]
    done = run_command(*GRID, *tuners, "-j", "2", "--timeout", "8s", "--memory", "1G", "-q", "-o", out)
    return out, done


def test_every_cell_bears_its_own_status(grid):
    """Each misbehaviour is labelled for what it is, with the end of the traceback or the signal; good cells are ok."""
    records = records_of(grid[0])
    wrong = {
        name: (records[name]["status"], records[name]["reason"])
        for name, (status, part) in EXPECTED.items()
        if records[name]["status"] != status or (part is not None and part not in records[name]["reason"])
    }
    assert not wrong
    assert records["original"]["status"] == records["logit-bias"]["status"] == "ok"


def test_failures_are_summed_up(grid):
    """The run ends with exit code 1 and a count of every status, and prints nothing that a tuner printed."""
    done = grid[1]
    assert done.code == 1, done.err
    assert "5 crashed" not in done.out
    assert "6 crashed" in done.out
    assert "2 timeout" in done.out
    assert "noise" not in done.out + done.err


def test_failed_cells_have_provenance(grid):
    """Also a cell without a result says where it was computed: versions, machine, seeds, split sizes, checksums."""
    for record in records_of(grid[0]).values():
        origin = record["provenance"]
        assert {"torch", "numpy", "optuna", "python", "tunebench"} <= origin["versions"].keys()
        assert origin["platform"]
        assert origin["threads"] == 1
        assert origin["split"] == {"train": 799, "valid": 399, "test": 599}
        assert len(origin["data"]) == len(origin["original"]) == 64
        assert "git" in origin
        assert isinstance(origin["cell_seed"], int)
        assert origin["training"]["steps"] > 0
        assert origin["training"]["cpu_seconds"] > 0


def test_nothing_is_left_running(grid):
    """No worker outlives its cell, not even one that ignores SIGTERM."""
    mine = os.getpid()
    forked = [process for process in psutil.Process().children(recursive=True) if process.ppid() != mine]
    assert forked == []  # what is left is the server they were forked from


def test_only_failed_cells_are_retried(grid, tmp_path):
    """--retry-failed computes failures again and keeps everything else as it is."""
    out, _ = grid
    before = {path: path.stat().st_mtime_ns for path in out.glob("cells/**/*.json")}
    tuners = ("-t", "raises", "-t", "wrong-type", "-t", "original", "-t", "nothing")
    plain = run_command(*GRID, *tuners, "-q", "-o", out)
    assert plain.code == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before
    run_command(*GRID, *tuners, "-q", "-o", out, "--retry-failed")
    again = {path.parent.name for path, then in before.items() if path.stat().st_mtime_ns != then}
    assert again == {"raises", "wrong-type"}


def test_workers_end_with_a_killed_parent(tmp_path):
    """SIGKILL of the process that runs a grid ends all its workers."""
    code = (
        "import time; from tunebench.workers.engines import LocalEngine\n"
        "if __name__ == '__main__':\n"
        "    engine = LocalEngine(2)\n"
        "    for _ in range(2): engine.submit(time.sleep, 1000, None)\n"
        "    print('ready', flush=True); time.sleep(1000)\n"
    )
    script = tmp_path / "grid.py"
    script.write_text(code)
    parent = psutil.Popen([sys.executable, script], stdout=-1)
    parent.stdout.readline()
    workers = parent.children(recursive=True)
    assert len(workers) >= 2
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []


def test_an_interrupt_while_the_server_starts_is_one_line(tmp_path):
    """Ctrl-C reaches all processes of a terminal, also the server that loads torch: nobody but the run answers."""
    command = [sys.executable, "-m", "tunebench", "run", "-d", "digits", "-t", "original", "-q", "-o", tmp_path / "out"]
    run = psutil.Popen(command, start_new_session=True, stderr=-1, text=True)
    while not any(child.memory_info().rss > LOADING for child in run.children()):
        assert run.poll() is None
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert (run.returncode, err.strip()) == (130, f"tunebench: interrupted; {KEPT}")


def test_workers_hold_no_signal_back():
    """The server holds Ctrl-C back while it starts; what it forks later, and what that starts, does not."""
    engine = LocalEngine(1)
    assert engine.submit(held_back, None, 60).result() == set()
    engine.close()


def held_back(_):
    """The signals that this process holds back."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_engine_close_ends_what_runs():
    """Closing an engine stops a running function at once and leaves no process behind."""
    engine = LocalEngine(1)
    future = engine.submit(time.sleep, 1000, None)
    engine.close()
    assert future.cancelled()
    assert [p for p in psutil.Process().children(recursive=True) if p.ppid() != os.getpid()] == []
    assert engine.submit(os.getpid, None, None).exception() is not None  # still usable: os.getpid takes no argument
    engine.close()


def test_sys_exit_does_not_reach_the_parent():
    """sys.exit in a worker is an ordinary error where the future is read."""
    engine = LocalEngine(1)
    with pytest.raises(RuntimeError, match=r"sys.exit\(3\)"):
        engine.submit(sys.exit, 3, None).result()
    engine.close()


def test_memory_shares(monkeypatch):
    """The machine's memory is divided among the workers, less a tenth, and never below a gibibyte."""
    monkeypatch.setattr(isolation, "machine_memory", lambda: 20 * 2**30)
    assert isolation.fair_share(2) == 9 * 2**30
    assert isolation.fair_share(100) == 2**30


def test_a_run_on_one_core_has_one_worker(own_cache):
    """Bound to a core (taskset), a run takes no more processes at a time than that."""
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from tunebench.cli import main; main(['run', '-t', 'original', '--dry-run'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "with -j 1;" in done.stdout


@pytest.mark.parametrize(("quota", "cores"), [("150000 100000", 2), ("10000 100000", 1), ("max 100000", 8), ("", 8)])
def test_a_container_pays_for_so_many_cores(monkeypatch, tmp_path, quota, cores):
    """Its quota, rounded up and at least one; without one, or on a system without such files, all that we may use."""
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(isolation, "Path", lambda path: tmp_path / Path(path).name)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert isolation.usable_cores() == cores


def test_no_folder_for_temporary_files_is_one_line(monkeypatch):
    """Neither TMPDIR nor the system's own can be written to: no worker could start, and the line says what to set."""

    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    with pytest.raises(StoreError, match="make one and set TMPDIR"):
        LocalEngine(1).warm_up()


def test_reasons_are_json(grid):
    """What a tuner says in an exception is stored without control characters and cut to size."""
    reason = records_of(grid[0])["raises-odd-text"]["reason"]
    assert len(reason) <= 2000
    assert json.loads(json.dumps(reason)) == reason
    assert "\x1b" not in reason
