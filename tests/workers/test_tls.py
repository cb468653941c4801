"""A dask cluster that speaks TLS, in this very process: who has its certificates gets a leaderboard."""

from __future__ import annotations

import certificates
import pytest
from conftest import run_command

from tunebench.results.store import Store

distributed = pytest.importorskip("distributed")
dask_config = pytest.importorskip("dask.config")

GRID = ("run", "-d", "digits", "-m", "mlp:8", "-t", "original", "-t", "logit-bias", "--target", "1", "--seeds", "1")
GRID += ("--trials", "2", "--recipe", "quick", "--no-latency", "-j", "1", "-q")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A certificate and its key."""
    return certificates.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def scheduler(files):
    """The address of a scheduler with one worker, which want this certificate of whoever calls."""
    cert, key = files
    parts = {f"tls_{part}_{kind}": file for part in ("scheduler", "worker", "client") for kind, file in
             (("cert", cert), ("key", key))}  # fmt: skip
    security = distributed.Security(tls_ca_file=cert, require_encryption=True, **parts)
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options, host="127.0.0.1", protocol="tls://", security=security) as cluster:
        yield cluster.scheduler_address


def run(scheduler, out, *files):
    """The small grid through ``scheduler``, by a client that has this certificate and key, or none."""
    names = ("ca-file", "client.cert", "client.key")
    known = dict(zip(names, (files[0], *files), strict=True)) if files else {}
    with dask_config.set({f"distributed.comm.tls.{name}": file for name, file in known.items()}):
        return run_command(*GRID, "--executor", scheduler, "-o", out)


def test_a_run_through_tls_reaches_the_leaderboard(scheduler, files, tmp_path):
    """Scheduler, worker and client speak TLS with each other, and the figures are those of a local run."""
    assert scheduler.startswith("tls://")
    done = run(scheduler, tmp_path / "out", *files)
    assert (done.code, done.err) == (0, "")
    assert "2 ok" in done.out
    assert run_command(*GRID, "-o", tmp_path / "local").code == 0
    folders = [Store(tmp_path / "out"), Store(tmp_path / "local")]
    through, local = [
        {cell.tuner: store.get("cells", cell)["points"] for cell, _ in store.cells()} for store in folders
    ]
    assert through == local
    assert len(local) == 2


def test_without_certificates_it_is_one_line_at_the_door(tmp_path):
    """Nobody is waited for and nothing is written: the line says what to set."""
    done = run("tls://127.0.0.1:1", tmp_path / "out")
    assert done.code == 2
    assert done.err.startswith("tunebench: --executor tls://127.0.0.1:1: TLS needs certificates; set DASK_DISTRIBUTED")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("harm", ["missing", "no certificate", "another's key"])
def test_certificates_that_cannot_be_used_are_one_line(tmp_path, files, harm):
    """Also these are seen before anybody is asked."""
    cert, key = files
    (tmp_path / "text.pem").write_text("no certificate\n")
    key = {
        "missing": str(tmp_path / "none.pem"),
        "no certificate": str(tmp_path / "text.pem"),
        "another's key": certificates.make(tmp_path / "other")[1],
    }[harm]
    done = run("tls://127.0.0.1:1", tmp_path / "out", cert, key)
    assert done.code == 2
    assert "the certificates cannot be used (" in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_certificates_of_others_are_one_line(scheduler, tmp_path):
    """The scheduler does not take them: told in one line, and nothing is written."""
    done = run(scheduler, tmp_path / "out", *certificates.make(tmp_path / "other"))
    assert done.code == 2
    assert "no dask scheduler answers to our certificates" in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
