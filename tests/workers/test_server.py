"""A killed server of workers is told from a worker that ends itself, with real processes."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future

import pytest
from conftest import run_command
from pebble import ProcessExpired

from tunebench.errors import HostFault
from tunebench.grid.preparation import attempted
from tunebench.results.store import Store
from tunebench.workers import isolation
from tunebench.workers.engines import LocalEngine, result_of

TUNERS = '''
import os, pathlib, signal
from tunebench import LogitEdit, Tuner


def once(path):
    """Whether nobody was here before."""
    try:
        pathlib.Path(path).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class Ends(Tuner):
    """Ends its own process as nobody should."""
    name = "ends-itself"

    def tune(self, task, params, prepared):
        os._exit(255)


class Loses(Tuner):
    """What a host does that ends the server and its workers: always here, once in the next one."""
    name = "loses-its-host"
    always = True

    def tune(self, task, params, prepared):
        if self.always or once(MARK):
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return LogitEdit.of_target(task, bias=1.0)


class LosesOnce(Loses):
    """See above."""
    name = "loses-it-once"
    always = False
'''


def test_a_host_that_dies_is_not_the_tuners_fault(own_cache, tmp_path):
    """Three dead servers in a row leave the cell undone and unrecorded, one costs a retry; exit code 255 is a crash."""
    plugin, out = tmp_path / "ending.py", tmp_path / "out"
    plugin.write_text(TUNERS.replace("MARK", repr(str(tmp_path / "mark"))))
    names = ("loses-its-host", "loses-it-once", "ends-itself")
    tuners = [part for name in names for part in ("-t", name)]
    grid = ("run", "-d", "digits", "-m", "mlp:8", "--target", "1", "--seeds", "1", "--trials", "2", "--recipe", "quick")
    done = run_command(*grid, "--plugin", plugin, *tuners, "--no-latency", "-j", "1", "-q", "-o", out)
    assert done.code == 1
    assert "1 crashed, 1 not done, 1 ok" in done.out
    assert "loses-its-host/0 is not done: the server of workers was killed" in done.err
    store = Store(out)
    records = {cell.tuner: store.get("cells", cell) for cell, _ in store.cells()}
    assert {name: record["status"] for name, record in records.items()} == {
        "loses-it-once": "ok",
        "ends-itself": "crashed",
    }
    assert records["ends-itself"]["reason"] == isolation.how_it_ended(255)


def loses_its_server(code):
    """Kill the server of this process, then end it with a code."""
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(code)


def test_nobody_can_say_how_a_worker_without_a_server_ended():
    """However it ended: what is not known is no worker's fault."""
    engine = LocalEngine(1)
    with pytest.raises(HostFault, match="the server of workers was killed"):
        result_of(engine.submit(loses_its_server, 255, 60))
    engine.close()


@pytest.mark.parametrize("code", [0, 1, 254, 255])
def test_a_workers_own_exit_code_is_told(code):
    """Also the one that multiprocessing itself uses for what it does not know."""
    engine = LocalEngine(1)
    with pytest.raises(ProcessExpired) as ended:
        result_of(engine.submit(os._exit, code, 60))
    assert ended.value.exitcode == code
    engine.close()


class Dying:
    """An engine whose server dies ``times`` times in a row."""

    workers = 1

    def __init__(self, times):
        self.times = times

    def submit(self, function, argument, timeout):
        """The result, or nobody knows what."""
        future, self.times = Future(), self.times - 1
        if self.times >= 0:
            future.set_exception(ProcessExpired("Abnormal termination", code=isolation.UNTOLD))
        else:
            future.set_result(function(argument))
        return future


def test_originals_and_networks_survive_it_too():
    """Training begins again; where servers go on dying the run ends with a line, and no network is called broken."""
    assert list(attempted(Dying(2), str.upper, ["a"], None)) == [("a", "A", None)]
    with pytest.raises(HostFault, match="the server of workers was killed"):
        list(attempted(Dying(3), str.upper, ["a"], None))
