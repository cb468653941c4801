"""Engines: functions run elsewhere, lost workers are replaced, errors and timeouts are not tried again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from multiprocessing import forkserver

import pytest
from conftest import run_command
from pebble import ProcessExpired

from tunebench import UsageError
from tunebench.datasets import Place
from tunebench.errors import HostFault
from tunebench.grid import plan, readiness, runner
from tunebench.grid.evaluation import failure, record_of
from tunebench.grid.observer import Silent
from tunebench.grid.provenance import provenance
from tunebench.grid.suite import Suite
from tunebench.results.store import Store
from tunebench.workers.engines import LocalEngine


class Scripted:
    """An engine that runs nothing: each submission ends as the next item of ``ends`` says."""

    workers = 2

    def __init__(self, ends):
        self.ends = deque(ends)
        self.submitted = []

    def submit(self, function, argument, timeout):
        """Hand out the next scripted end."""
        self.submitted.append(argument)
        future, end = Future(), self.ends.popleft()
        if end is None:
            result = failure("skipped", "scripted")
            future.set_result(record_of(argument, provenance(argument), result))
        else:
            future.set_exception(end)
        return future


@pytest.fixture(scope="module")
def jobs(own_cache, tmp_path_factory):
    """Two jobs of a real grid."""
    options = plan.RunOptions(tmp_path_factory.mktemp("jobs"))
    suite = Suite(models=("mlp:8",), tuners=("original",), targets=("1", "2"), seeds=1, trials=2, recipe="quick")
    made = plan.make_plan(suite, options)
    engine = LocalEngine(1)
    records = runner.train_originals(made, engine, Silent(), options)
    engine.close()
    return list(plan.make_jobs(made, records, options))


def run(jobs, tmp_path, *ends):
    """Run ``jobs`` on a `Scripted` engine; the counts and what was submitted."""
    engine = Scripted(ends)
    counts = runner.run_cells(jobs, Store(tmp_path), engine, Silent(), plan.RunOptions(tmp_path), 5)
    return counts, engine.submitted


def killed():
    """How pebble reports SIGKILL."""
    return ProcessExpired("Abnormal termination", code=-signal.SIGKILL)


def test_a_lost_worker_is_replaced(jobs, tmp_path):
    """A cell whose worker is killed, on this machine or on a cluster, is computed again and comes out well."""
    counts, submitted = run(jobs[:1], tmp_path, killed(), CancelledError(), None)
    assert counts == {"skipped": 1}
    assert len(submitted) == 3


@pytest.mark.parametrize(("kills", "status"), [(0, "crashed"), (1, "out-of-memory")])
def test_a_worker_lost_again_and_again_is_given_up(jobs, tmp_path, monkeypatch, kills, status):
    """After two retries the cell fails; the kernel's own count says whether it was for memory."""
    count = iter([0, kills])
    monkeypatch.setattr("tunebench.workers.isolation.oom_kills", lambda: next(count))
    counts, submitted = run(jobs[:1], tmp_path, killed(), killed(), killed())
    assert counts == {status: 1}
    assert len(submitted) == 3
    assert "SIGKILL" in Store(tmp_path).get("cells", jobs[0].cell)["reason"]


def test_what_a_machine_lacks_is_never_recorded(jobs, tmp_path):
    """A cell whose machine could not do its part is tried again; then it is left undone, and the next run does it."""
    fault = HostFault("no data here")
    counts, _ = run(jobs[:1], tmp_path, fault, None)
    assert counts == {"skipped": 1}
    counts, submitted = run(jobs[1:], tmp_path, fault, fault, fault)
    assert counts == {"not done": 1}
    assert len(submitted) == 3
    assert Store(tmp_path).get("cells", jobs[1].cell) is None


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (TimeoutError("Task timeout", 5), "timeout"),
        (ProcessExpired("Abnormal termination", code=-signal.SIGSEGV), "crashed"),
        (ProcessExpired("Abnormal termination", code=0), "crashed"),
        (ProcessExpired("Abnormal termination", code=255), "crashed"),
        (ValueError("cannot be unpickled"), "crashed"),
    ],
)
def test_errors_and_timeouts_are_not_tried_again(jobs, tmp_path, end, status):
    """Whatever a cell did to itself it would do again."""
    counts, submitted = run(jobs[:1], tmp_path, end)
    assert counts == {status: 1}
    assert len(submitted) == 1


def test_a_cell_that_another_run_finished_is_not_computed(jobs, tmp_path):
    """What appears in OUT while a run goes on is taken over."""
    run(jobs[1:], tmp_path, None)
    engine = Scripted([None])
    store, options = Store(tmp_path), plan.RunOptions(tmp_path)
    path = store.path("cells", jobs[1].cell)
    hidden = path.rename(path.with_suffix(".hidden"))

    class Other(Silent):
        def stage(self, name, total):
            hidden.rename(path)

    assert runner.run_cells(jobs, store, engine, Other(), options, 5) == {"skipped": 2}
    assert [job.cell for job in engine.submitted] == [jobs[0].cell]


def test_a_worker_that_would_compute_something_else_refuses(jobs):
    """A cluster worker with another torch, or other code of the tuner, gives no figure and no record."""
    from dataclasses import replace

    from tunebench.grid.evaluation import run_cell

    with pytest.raises(HostFault, match=r"torch: 1\.0 -> "):
        run_cell(replace(jobs[0], inputs={**jobs[0].inputs, "torch": "1.0"}))


def slow(seconds):
    """Sleep, then say which process it was."""
    time.sleep(seconds)
    return os.getpid()


def test_every_function_has_a_process_of_its_own():
    """Functions run side by side in fresh processes, and a timeout ends one of them only."""
    engine = LocalEngine(2)
    late, *futures = [engine.submit(slow, seconds, 20) for seconds in (100, 0, 0)]
    late.cancel()
    pids = {future.result() for future in futures}
    assert len(pids | {os.getpid()}) == 3
    with pytest.raises(TimeoutError):
        engine.submit(slow, 100, 0.2).result()
    engine.close()


def interrupts(error):
    """Raise what a library should not."""
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit("done"), SystemExit(130)], ids=repr)
def test_nothing_that_a_worker_raises_ends_the_run(error):
    """What would end this process when the result is read arrives as an ordinary error."""
    engine = LocalEngine(1)
    with pytest.raises(RuntimeError, match=r"was (raised|called)"):
        engine.submit(interrupts, error, 20).result()


def test_a_killed_fork_server_is_replaced():
    """The server dies between two functions: the next one runs all the same, from another server."""
    engine = LocalEngine(1)
    assert engine.submit(slow, 0, 20).result() > 0
    server = forkserver._forkserver._forkserver_pid
    os.kill(server, signal.SIGKILL)
    assert engine.submit(slow, 0, 20).result() > 0
    assert forkserver._forkserver._forkserver_pid != server


def test_a_process_that_cannot_be_started_is_the_machines_fault(monkeypatch):
    """No room for one more process: the future says so, and nothing is raised where it is submitted."""
    engine = LocalEngine(1)
    monkeypatch.setattr(engine.context, "make_ready", lambda: interrupts(OSError(11, "Resource unavailable")))
    monkeypatch.setattr("tunebench.workers.engines.PAUSE", 0)
    with pytest.raises(HostFault, match=r"no worker process can be started \(Resource unavailable\)"):
        engine.submit(slow, 0, None).result()


def test_a_temporary_folder_too_long_for_a_socket(tmp_path):
    """Workers run wherever TMPDIR points: sockets have paths of about a hundred bytes."""
    folder = "x" * 200
    (tmp_path / folder).mkdir()
    code = "from tunebench.workers.engines import LocalEngine as E; print(E(1).submit(len, 'abc', 30).result())"
    surroundings = {**os.environ, "TMPDIR": str(tmp_path / folder)}
    done = subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_closing_is_quiet(capfd):
    """Functions that end just when the engine is closed leave no traceback on the terminal."""
    for _ in range(10):
        engine = LocalEngine(2)
        futures = [engine.submit(len, (), None) for _ in range(2)]
        wait(futures, return_when=FIRST_COMPLETED)
        engine.submit(len, (), None)
        engine.close()
    assert capfd.readouterr().err == ""


def test_a_script_without_a_guard_runs_once(own_cache, tmp_path):
    """Workers do not import the script that started the run: without ``if __name__`` it would start again in each."""
    flags = ["-d", "digits", "-m", "mlp:8", "-t", "original", "--seeds", "1", "-q", "-o", str(tmp_path / "out")]
    (tmp_path / "mine.py").write_text(f"print('here')\nfrom tunebench.cli import main\nmain(['run', *{flags!r}])\n")
    done = subprocess.run([sys.executable, tmp_path / "mine.py"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("here") == 1


def test_unknown_executors_are_refused(tmp_path):
    """--executor takes processes or a dask address, and says so in one line."""
    done = run_command("run", "-t", "original", "--executor", "slurm", "-o", tmp_path / "out")
    assert done.code == 2
    assert "write processes, or dask://HOST:PORT" in done.err


def test_a_workers_own_data_folder_wins(jobs, monkeypatch, tmp_path):
    """On another machine TUNEBENCH_DATA is used where it is set, and the client's path where it is not."""
    from dataclasses import replace

    seen = []
    monkeypatch.setattr(readiness, "make_ready", lambda job: seen.append(job.place))
    job = replace(jobs[0], place=Place(tmp_path / "client", download=True))
    monkeypatch.setenv("TUNEBENCH_DATA", str(tmp_path / "worker"))
    readiness.make_ready_elsewhere(job)
    monkeypatch.delenv("TUNEBENCH_DATA")
    readiness.make_ready_elsewhere(job)
    assert seen == [Place(tmp_path / "worker", download=True), Place(tmp_path / "client", download=True)]


@pytest.mark.parametrize(("text", "size"), [("500M", 500 * 2**20), ("2g", 2**31), ("1 ", 1), ("3TB", 3 * 2**40)])
def test_sizes(text, size):
    """--memory takes bytes with a unit."""
    assert plan.bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "-1G", "0", "2.5G", "1e9", "\u0662G"])
def test_sizes_that_are_none(text):
    """Anything else is refused."""
    with pytest.raises(UsageError, match="write 500M or 2G"):
        plan.bytes_of(text)
