"""What the host's variants add to a cell: the certificate, and what lies between the original and the tuned network."""

from __future__ import annotations

import time

import pytest
import torch
from references import VALID, alternate, inputs, note, task_of

from tunebench.datasets import Samples
from tunebench.grid.evaluation import result_of
from tunebench.plugins import load_registry
from tunebench.selection import interpolation
from tunebench.selection import search as searching
from tunebench.selection.selector import SearchOptions

CHEAP = ("logit-bias", "smvt-sj", "smvt-sj-exact", "random-synapses")
"""Tuners without training, whose cells are little more than the host's own work."""


def cell(task, name):
    """A whole cell but for loading what it starts from: search, then scores on as many test samples."""
    tuner = load_registry().tuner(name)
    return lambda: result_of(task, tuner, SearchOptions(), lambda: Samples(task.x_train[:VALID], task.y_train[:VALID]))


def without(monkeypatch, module, name, substitute, call):
    """``call`` while ``module`` has ``substitute`` for what it calls ``name``."""

    def run():
        with monkeypatch.context() as patch:
            patch.setattr(module, name, substitute)
            return call()

    return run


@pytest.mark.parametrize("name", CHEAP)
def test_certificates(benchmark, monkeypatch, name):
    """The certified variant adds at most a quarter to a cell that trains nothing, which takes less than a second."""
    torch.set_num_threads(1)
    run = cell(task_of(), name)
    bare = without(monkeypatch, searching, "path_of", lambda *_: None, run)
    ratio = alternate(run, bare, 15, time.process_time)
    note(benchmark, f"a cell of {name}", f"without certificates ({inputs()[2]})", ratio, 1.25)
    benchmark.pedantic(run, rounds=3)
    assert ratio <= 1.25


def test_certificates_of_a_grid(benchmark, monkeypatch):
    """Over every bundled tuner, ten trials each as on the published boards, certificates add at most 5 %."""
    torch.set_num_threads(1)
    task, options = task_of(), SearchOptions(trials=10)
    test = Samples(task.x_train[:VALID], task.y_train[:VALID])
    tuners = load_registry().tuners

    def run():
        for name in tuners:
            result_of(task, load_registry().tuner(name), options, lambda: test)

    bare = without(monkeypatch, searching, "path_of", lambda *_: None, run)
    ratio = alternate(run, bare, 1, time.process_time)
    note(benchmark, f"a cell of each of {len(tuners)} tuners", f"without certificates ({inputs()[2]})", ratio, 1.05)
    benchmark.pedantic(lambda: None, rounds=1)
    assert ratio <= 1.05


def test_interpolation(benchmark, monkeypatch):
    """The interpolated variant adds at most a sixth to a cell of the cheapest tuner that trains, 30 trials."""
    torch.set_num_threads(1)
    run = cell(task_of(), "last-layer")
    bare = without(monkeypatch, interpolation, "SHARES", (), run)
    ratio = alternate(run, bare, 7, time.process_time)
    note(benchmark, "a cell of last-layer", f"without the interpolated variant ({inputs()[2]})", ratio, 7 / 6)
    benchmark.pedantic(run, rounds=1)
    assert ratio <= 7 / 6
