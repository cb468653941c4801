"""A cell on a machine that is not the run's: the paths that it is sent with lead to the data from anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import run_command
from sklearn.datasets import load_digits

from tunebench import StoreError
from tunebench.datasets import Place
from tunebench.grid import readiness, runner
from tunebench.networks.integrity import data_fault
from tunebench.networks.originals import data_folder

GRID = ("run", "-d", "npz:small.npz", "-m", "mlp:8", "-t", "original", "--target", "1", "--seeds", "1", "-j", "1", "-q")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's folder with data/small.npz, where the user stands."""
    x, y = load_digits(return_X_y=True)
    (tmp_path / "data").mkdir()
    x = (x.reshape(-1, 1, 8, 8) * 15).astype(np.uint8)
    np.savez(tmp_path / "data" / "small.npz", x_train=x[:900], y_train=y[:900], x_test=x[900:], y_test=y[900:])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNEBENCH_DATA", raising=False)
    return tmp_path.resolve()


def sent(monkeypatch, *flags):
    """The jobs that ``tunebench run`` would send to an engine."""
    jobs = []

    def keep(found, *_):
        jobs.extend(found)
        raise StoreError("seen enough")

    monkeypatch.setattr(runner, "run_cells", keep)
    assert run_command(*GRID, "--recipe", "quick", "-o", "out", *flags).code == 2
    assert jobs
    return jobs


@pytest.mark.parametrize("by", ["--data-dir", "TUNEBENCH_DATA"])
def test_a_relative_data_folder_is_made_absolute(home, monkeypatch, by):
    """Whoever opens the data in another working directory, and has none cached, finds the same files."""
    if by == "TUNEBENCH_DATA":
        monkeypatch.setenv(by, "data")
    (job,) = sent(monkeypatch, *(("--data-dir", "data") if by == "--data-dir" else ()))
    assert job.place == Place(home / "data")
    monkeypatch.delenv("TUNEBENCH_DATA", raising=False)
    monkeypatch.chdir("/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "other"))
    for name in ("settle", "ensure_original"):  # this very process stays as it is, and trains nothing
        monkeypatch.setattr(readiness, name, lambda *_, **__: None)
    monkeypatch.setattr(readiness.isolation, "silence", lambda: None)
    folder = data_folder(job.original.data)
    assert Path(folder).is_relative_to(home / "other")
    assert data_fault(folder)
    readiness.make_ready_elsewhere(job)
    assert not data_fault(folder)
