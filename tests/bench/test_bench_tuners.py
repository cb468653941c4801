"""Every bundled tuner: how long it tunes and infers beside a reference in the same run, and what it gains.

Run with ``tox -e bench``. pytest-benchmark's own figure is the tuning time in seconds; compare it on one machine only
(``--benchmark-save``, ``--benchmark-compare-fail``). What holds across machines is in ``extra_info``:

- ``tune_ratio``: tuning time as a multiple of 100 SGD steps of the original's own training;
- ``latency_ratio``, ``latency_batch_ratio``: one sample, and 256, as a ratio to the original timed in turn;
- ``ta_gain``, ``oa_loss``, ``dot_rv``: on test, after a search of `TRIALS` trials with an OA budget of 1 point.
"""

from __future__ import annotations

import copy
import statistics
import time

import pytest
import torch
from references import note, task_of
from torch.nn.functional import cross_entropy

from tunebench.datasets import Place, open_dataset
from tunebench.grid.finishing import finished
from tunebench.grid.latency import in_turn
from tunebench.networks.activations import activations
from tunebench.networks.training import fine_tune, minibatches
from tunebench.plugins import load_registry
from tunebench.results.metrics import operating_point
from tunebench.selection.search import search
from tunebench.selection.selector import SearchOptions
from tunebench.testing import small_task
from tunebench.testing.points import corners, middle

TRIALS, BUDGET, STEPS, ROUNDS = 10, 1.0, 100, 5
REGISTRY = load_registry()
REFIT_SECONDS = 3.0
"""What a trial of `refit-all` may take on MNIST, model 1."""


def reference_seconds(task):
    """Seconds of `STEPS` SGD steps on a copy of the original: the unit of tuning time."""
    model = copy.deepcopy(task.model)
    start = time.perf_counter()
    fine_tune(model, minibatches(task.x_train, task.y_train, STEPS, 0), cross_entropy, task.learning_rate, 0)
    return time.perf_counter() - start


def quality(task, tuner):
    """The network that a search chooses, and its operating point on the test split."""
    chosen = search(tuner, task, SearchOptions(trials=TRIALS, budget=BUDGET)).chosen["plain"][BUDGET]
    network = finished(task, chosen)
    test = open_dataset("digits", Place(None)).test()
    original = activations(task.model, test.x).logits.argmax(1).numpy()
    tuned = activations(network, test.x).logits.argmax(1).numpy()
    labels = test.y.numpy()
    before = operating_point(labels, original, original, task.targets, task.classes)
    return network, before, operating_point(labels, tuned, original, task.targets, task.classes)


@pytest.mark.parametrize("name", REGISTRY.tuners)
def test_bench_tuner(benchmark, name):
    """Tuning once in the middle of the search space, prepare included; ratios and quality in extra_info."""
    torch.set_num_threads(1)
    task, tuner = small_task("digits"), REGISTRY.tuner(name)
    params = middle(tuner.search_space())
    references, seconds = [], []

    def tune():
        references.append(reference_seconds(task))
        start = time.perf_counter()
        tuner.tune(task, params, tuner.prepare(task))
        seconds.append(time.perf_counter() - start)

    tune()  # imports and compiles what is loaded on first use
    references.clear()
    seconds.clear()
    benchmark.pedantic(lambda: tuner.tune(task, params, tuner.prepare(task)), rounds=ROUNDS)
    for _ in range(ROUNDS):
        tune()
    network, before, after = quality(task, tuner)
    original = copy.deepcopy(task.model)
    benchmark.extra_info |= {
        "tune_ratio": statistics.median(a / b for a, b in zip(seconds, references, strict=True)),
        "latency_ratio": in_turn(network, original, task.x_valid[:1])[1],
        "latency_batch_ratio": in_turn(network, original, task.x_valid[:256])[1],
        "ta_gain": after["ta"] - before["ta"],
        "oa_loss": before["oa"] - after["oa"],
        "dot_rv": after["dot_rv"],
    }
    assert all(value is not None for value in benchmark.extra_info.values())
    assert after["dot_rv"] >= 0
    if name == "original":
        assert after == before


def test_bench_refit_all(benchmark, mnist):
    """A trial of `refit-all`, 50,000 samples of MNIST and all hidden units of model 1, slowest corner, one thread."""
    torch.set_num_threads(1)
    task, tuner, seconds = task_of("model1"), REGISTRY.tuner("refit-all"), []
    prepared = tuner.prepare(task)
    for params in corners(tuner.search_space()):
        start = time.thread_time()
        tuner.tune(task, params, prepared)
        seconds.append(time.thread_time() - start)
    benchmark.pedantic(lambda: tuner.tune(task, middle(tuner.search_space()), prepared), rounds=1)
    what = f"a trial of refit-all, {len(task.y_train):,} x {task.hidden_train.shape[1]} (MNIST)"
    note(benchmark, what, f"{REFIT_SECONDS:g} s", max(seconds) / REFIT_SECONDS, 1.0)
    assert max(seconds) <= REFIT_SECONDS
