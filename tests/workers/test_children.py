"""What a cell starts: it may start processes, and they end with it; what the fork server imports."""

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tunebench.workers.engines import LocalEngine


def through_workers(samples):
    """The sum of numbers that two worker processes of a DataLoader have loaded."""
    data = TensorDataset(torch.arange(samples))
    return int(sum(rows.sum() for (rows,) in DataLoader(data, batch_size=4, num_workers=2)))


def start_and(end):
    """Start two processes, one of which starts a third; write down their ids; then do as ``end`` says."""
    import multiprocessing

    file, deed = end
    first = subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    second = multiprocessing.Process(target=time.sleep, args=(1000,))
    second.start()
    with open(file, "w") as log:
        log.write(f"{os.getpid()} {first.pid} {first.stdout.readline().strip()} {second.pid}")
    return deed()


def give_up():
    """Be killed."""
    os.kill(os.getpid(), 9)


def wait_long():
    """Never return."""
    time.sleep(1000)


@pytest.fixture
def engine():
    """An engine of one worker."""
    engine = LocalEngine(1)
    yield engine
    engine.close()


def test_a_tuner_may_use_a_data_loader(engine):
    """Worker processes are no daemons: a DataLoader with workers of its own gives what it should."""
    assert engine.submit(through_workers, 100, 60).result() == 4950


@pytest.mark.parametrize("deed", [os.getpid, give_up, wait_long], ids=["returns", "is killed", "runs out of time"])
def test_what_a_cell_starts_ends_with_it(engine, tmp_path, deed):
    """However the cell ends, nothing that it started, or that these started, goes on."""
    future = engine.submit(start_and, (tmp_path / "pids", deed), 5)
    failed = future.exception(60) is not None
    assert failed == (deed is not os.getpid)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 4
    end = time.monotonic() + 10
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


def alive(pid):
    """Whether a process goes on; one that has ended and that nobody asked about does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


SCRIPT = Path(sysconfig.get_path("scripts")) / "tunebench"
COMMANDS = {"python -m": [sys.executable, "-m", "tunebench"], "tunebench": [SCRIPT]}


def mine_from(folder, command, *where):
    """Run the tuner `mine` of the plugin file ``where``, given in ``folder``; it has to come out well."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    flags = ["-d", "digits", "-m", "mlp:8", "-t", "mine", "--seeds", "1", "--no-latency", "-q", "-o", "out"]
    done = subprocess.run(
        [*command, "run", *flags, "--plugin", *where], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "1 ok" in done.stdout


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_working_directory_is_not_imported_from(own_cache, tmp_path, command):
    """A random.py or torch.py where the command is given is executed by nobody, and a tuner's children are as ever."""
    for name in ("random", "torch", "numba"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write('{name} ')\n1 / 0\n")
    (tmp_path / "tuner.py").write_text(
        "import os\nfrom tunebench import LogitEdit, Tuner\n"
        "class Mine(Tuner):\n    name = 'mine'\n    def tune(self, task, params, prepared):\n"
        "        assert 'PYTHONSAFEPATH' not in os.environ\n        return LogitEdit.of_target(task, bias=1.0)\n"
    )
    mine_from(tmp_path, command, "tuner.py")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_helper_is_the_one_beside_the_plugin(own_cache, tmp_path, command):
    """Not one of the same name where the command is given, which is not executed either."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "helper.py").write_text(
            f"open({str(folder / 'executed')!r}, 'a').write('.')\nWHERE = {folder.name!r}\n"
        )
    (there / "tuner.py").write_text(
        "from helper import WHERE\nfrom tunebench import LogitEdit, Tuner\n"
        "class Mine(Tuner):\n    name = 'mine'\n    def tune(self, task, params, prepared):\n"
        "        assert WHERE == 'there', WHERE\n        return LogitEdit.of_target(task, bias=1.0)\n"
    )
    mine_from(here, command, "../there/tuner.py")
    assert (there / "executed").exists()
    assert not (here / "executed").exists()
