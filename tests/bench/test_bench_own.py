"""What the Python call adds to the tuners that it runs."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from references import TARGET, alternate, inputs, note, task_of

import tunebench
from tunebench.grid.suite import OWN
from tunebench.naming import seed_of
from tunebench.own.comparison import FROZEN
from tunebench.plugins import load_registry
from tunebench.selection.search import search
from tunebench.selection.selector import SearchOptions

TRIALS = 10


def test_python_call(benchmark):
    """`tunebench.tune` takes at most 5 % longer than the searches of the tuners that it compares by default."""
    torch.set_num_threads(1)
    task, registry = replace(task_of(), seed=seed_of("own", TARGET)), load_registry()
    fit, held = (task.x_train, task.y_train), (task.x_valid, task.y_valid)
    options = SearchOptions(TRIALS, 0.5, protocol=OWN, confidence=1 - 0.1 / len(FROZEN))

    def searches():
        for name in ("original", *FROZEN):
            search(registry.tuner(name), replace(task, seed=seed_of(task.seed, name)), options)

    def call():
        tunebench.tune(task.model, fit, held, TARGET, tuners=FROZEN, trials=TRIALS)

    ratio = alternate(call, searches, 3, time.process_time)
    note(benchmark, f"`tunebench.tune` with {len(FROZEN)} tuners", f"their searches alone ({inputs()[2]})", ratio, 1.05)
    benchmark.pedantic(lambda: None, rounds=1)
    assert ratio <= 1.05
