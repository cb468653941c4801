"""Training the originals, against the loop that everybody writes."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from references import note
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tunebench.datasets import Place, open_dataset
from tunebench.grid import plan, preparation
from tunebench.grid.suite import Suite
from tunebench.networks.models import find_model
from tunebench.networks.originals import materialise
from tunebench.workers.engines import LocalEngine, in_flight

STEPS, SEEDS = 3000, 4


def plain_loop(x, y, seed):
    """Train model 1 for `STEPS` steps with a DataLoader and torch's optimiser."""
    torch.manual_seed(seed)
    model = find_model("model1").build((1, 28, 28), 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    step = 0
    while step < STEPS:
        for images, labels in DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            cross_entropy(model(images), labels).backward()
            optimizer.step()
            step += 1
            if step == STEPS:
                break


@pytest.mark.skipif("TUNEBENCH_DATA" not in os.environ, reason="needs the real MNIST: set TUNEBENCH_DATA")
def test_four_seeds_against_a_dataloader(benchmark, tmp_path):
    """Four seeds side by side on two cores, activations and files included, against one plain loop after the other."""
    place = Place(Path(os.environ["TUNEBENCH_DATA"]))
    suite = Suite(datasets=("mnist",), models=("model1",), tuners=("original",), seeds=SEEDS, recipe="paper")
    options = plan.RunOptions(tmp_path / "out", 2, place)
    made = plan.make_plan(suite, options)
    for dataset in made.datasets.values():
        materialise(dataset)
    origin = preparation.origin_of(made, made.models["model1"], options)
    todo = deque((replace(key, recipe=replace(key.recipe, steps=STEPS)), origin, None) for key in made.originals())
    engine = LocalEngine(2)
    engine.submit(len, (), None).result()  # the server has started
    start = time.perf_counter()
    done = in_flight(engine, preparation.train_one, lambda: todo.popleft() if todo else None, None)
    assert [future.result() for _, future in done] == [None] * SEEDS
    ours = time.perf_counter() - start
    engine.close()
    data = open_dataset("mnist", place).train()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    start = time.perf_counter()
    for seed in range(SEEDS):
        plain_loop(data.x, data.y, seed)
    reference = time.perf_counter() - start
    torch.set_num_threads(threads)
    note(benchmark, "train 4 seeds of model 1", "a DataLoader loop, 4 times", ours / reference, 0.4)
    benchmark.pedantic(lambda: None)
    assert ours <= 0.4 * reference
