"""dask's schedulers as a run meets them: missing, silent, by another protocol, and gone."""

from __future__ import annotations

import builtins
import sys

import pytest

from tunebench import UsageError
from tunebench.workers.cluster import DaskEngine, open_engine
from tunebench.workers.engines import LocalEngine


def test_a_missing_package_is_one_line(monkeypatch):
    """Without dask.distributed the error says what to install."""
    real = builtins.__import__

    def without(name, *args):
        if name.partition(".")[0] == "distributed":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.delitem(sys.modules, "distributed", raising=False)
    monkeypatch.setattr("tunebench.workers.cluster.importlib.import_module", without)
    with pytest.raises(UsageError, match=r"pip install 'tunebench\[dask\]'"):
        open_engine("dask://127.0.0.1:1", LocalEngine(1), None)


def test_a_silent_scheduler_is_one_line(monkeypatch):
    """A scheduler that does not answer ends in one line that names the address."""
    pytest.importorskip("distributed")
    monkeypatch.setattr("tunebench.workers.cluster.PATIENCE", 1)
    with pytest.raises(UsageError, match=r"dask://127.0.0.1:1: no dask scheduler answers there"):
        open_engine("dask://127.0.0.1:1", LocalEngine(1), None)


@pytest.mark.parametrize(
    ("executor", "address"), [("dask://h:1", "tcp://h:1"), ("tcp://h:1", "tcp://h:1"), ("tls://h:1", "tls://h:1")]
)
def test_schedulers_are_reached_by_their_protocol(monkeypatch, executor, address):
    """A tls:// scheduler is asked for with TLS; certificates are dask's business."""
    distributed = pytest.importorskip("distributed")
    asked = []

    def client(address, **options):
        asked.append(address)
        raise OSError("enough")

    monkeypatch.setattr(distributed, "Client", client)
    monkeypatch.setattr("tunebench.workers.cluster.require_certificates", lambda *args: None)
    with pytest.raises(UsageError, match=f"--executor {executor}: no dask scheduler answers"):
        open_engine(executor, LocalEngine(1), None)
    assert asked == [address]


def test_a_lost_scheduler_ends_the_run():
    """A scheduler that is gone is no failure of cells: the run ends in one line, and closing the engine is quiet."""

    class Gone:
        status = "closed"

        def close(self):
            raise OSError("no connection")

    engine = object.__new__(DaskEngine)
    engine.client = engine.executor = Gone()
    for use in (lambda: engine.workers, lambda: engine.submit(len, (), None)):
        with pytest.raises(UsageError, match="the dask scheduler is gone; start it again"):
            use()
    Gone.status, Gone.nthreads = "connecting", Gone.close
    with pytest.raises(UsageError, match="the dask scheduler is gone"):
        engine.workers  # noqa: B018
    engine.close()
