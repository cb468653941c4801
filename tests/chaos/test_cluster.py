"""A real dask scheduler with two worker processes on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import certificates
import psutil
import pytest
from helpers import GRID, family, figures, finish, start, survivors

pytest.importorskip("distributed")


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(params=["tcp", "tls"])
def cluster(tmp_path, request, monkeypatch):
    """A scheduler and two workers with caches of their own; the address and the workers' processes.

    With TLS the client's certificates come from its environment, as docs/scaling.md says.
    """
    port, scheme, flags = free_port(), request.param, []
    if scheme == "tls":
        cert, key = certificates.make(tmp_path)
        flags = ["--tls-ca-file", cert, "--tls-cert", cert, "--tls-key", key]
        for name, value in certificates.surroundings(cert, key).items():
            monkeypatch.setenv(name, value)

    def dask(*args, cache):
        command = [sys.executable, "-m", "dask", *args]
        surroundings = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / cache)}
        log = (tmp_path / f"{cache}.log").open("w")
        return psutil.Popen(command, env=surroundings, stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path)

    flags += ["--no-dashboard"]
    scheduler = dask("scheduler", "--host", f"{scheme}://127.0.0.1", "--port", str(port), *flags, cache="scheduler")
    address = f"{scheme}://127.0.0.1:{port}"
    workers = [dask("worker", address, "--nthreads", "1", *flags, cache=f"worker-{number}") for number in range(2)]
    yield address, workers
    ended([scheduler, *workers])


def ended(processes):
    """Kill processes and their children."""
    processes = processes + [child for process in processes for child in family(process)]
    for process in processes:
        if process.is_running():
            process.kill()
    assert survivors(processes) == []


def listening(process):
    """The addresses at which a process and its children wait for others."""
    found = [part.net_connections() for part in (process, *family(process))]
    return {connection.laddr.ip for part in found for connection in part if connection.status == psutil.CONN_LISTEN}


def test_the_documented_commands_listen_on_one_interface(tmp_path):
    """Scheduler, workers, their nannies and their pages are reached through the named interface alone."""
    text = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith(("dask scheduler", "dask worker"))]
    assert len(lines) == 2
    changed = {"eth1": "lo", "HOST": "127.0.0.1", "8786": str(free_port()), "8787": "0"}
    for old, new in changed.items():
        lines = [line.replace(old, new) for line in lines]
    log = (tmp_path / "log").open("w")
    processes = [
        psutil.Popen([sys.executable, "-m", *line.split()], cwd=tmp_path, stdout=log, stderr=log) for line in lines
    ]
    try:
        end = time.monotonic() + 120
        while "Registered to" not in (tmp_path / "log").read_text() and time.monotonic() < end:
            time.sleep(0.2)
        assert [listening(process) for process in processes] == [{"127.0.0.1"}] * 2, (tmp_path / "log").read_text()
    finally:
        ended(processes)


def test_one_of_two_workers_is_killed(cluster, tmp_path):
    """A worker machine that vanishes in the middle costs retries: the run completes with the figures of a local one.

    Workers start with empty caches: they open the data and train the originals themselves.
    """
    address, workers = cluster
    finish(*GRID, "-o", tmp_path / "local", cache=tmp_path / "cache")
    out = tmp_path / "out"
    process = start(*GRID, "-o", out, "--executor", address, cache=tmp_path / "cache")
    while not list(out.glob("cells/**/*.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    machine = [workers[0], *family(workers[0])]
    for part in machine:  # the nanny first, so that nothing restarts
        part.kill()
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert figures(out) == figures(tmp_path / "local")
    assert len(list(out.glob("cells/**/*.json"))) == 16
    assert list((tmp_path / "worker-1" / "tunebench" / "originals").iterdir())
    shutil.rmtree(out)
