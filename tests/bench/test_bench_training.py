"""Training, against the loop that everybody writes and against its matrix products."""

from __future__ import annotations

import copy
import os
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from references import TARGET, alternate, inputs, note, trained
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tunebench.datasets import Place, open_dataset
from tunebench.grid import plan, preparation
from tunebench.grid.suite import Suite
from tunebench.networks.losses import CrossEntropy
from tunebench.networks.models import find_model
from tunebench.networks.originals import materialise
from tunebench.networks.training import Optimiser, fine_tune, minibatches, train
from tunebench.workers.engines import LocalEngine, in_flight

STEPS, SEEDS = 3000, 4
FEW = 300
"""Steps of a round where training is held against its matrix products."""
TARGET_RATIO = 1.5
"""What a training step is to take at most, in its matrix products."""
CYCLE = {"schedule": "one-cycle", "steps": FEW, "weight_decay": 5e-4}
"""The schedule of an `Optimiser`, over one round."""


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
    todo = deque(
        (replace(key, recipe=replace(key.recipe, steps=STEPS)), origin, None, "cpu") for key in made.originals()
    )
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


def products_alone(model, times):
    """The eight matrix products of a training step of a stack of three Linear layers, ``times`` times `FEW` steps."""
    layers = [part for part in model if isinstance(part, nn.Linear)]
    inputs_of = [torch.randn(64, layer.in_features) for layer in layers]
    deltas = [torch.randn(64, layer.out_features) for layer in layers]
    with torch.no_grad():
        for _ in range(times * FEW):
            for layer, below in zip(layers, inputs_of, strict=True):
                torch.mm(below, layer.weight.t())
            for k, layer in enumerate(layers):
                torch.mm(deltas[k].t(), inputs_of[k])
                if k:
                    torch.mm(deltas[k], layer.weight)


@pytest.mark.parametrize(
    ("name", "limit", "options"),  # the limits are guards: `TARGET_RATIO` is what is wanted
    [
        ("SGD", 1.7, {}),
        ("momentum", 1.9, {"momentum": 0.9}),
        ("momentum, one cycle", 1.9, {"momentum": 0.9, **CYCLE}),
        ("AdamW", 2.0, {"name": "adamw"}),
        ("AdamW, one cycle", 2.0, {"name": "adamw", **CYCLE}),
    ],
)
def test_steps_against_their_matrix_products(benchmark, name, limit, options):
    """Training model 1 for five seeds, batches and loss included, against the products that it cannot do without."""
    torch.set_num_threads(1)
    x, y, source = inputs()
    models = [find_model("model1").build((784,), 10) for _ in range(5)]

    def ours():
        for seed, model in enumerate(models):
            train(model, minibatches(x, y, FEW, seed), CrossEntropy(), Optimiser(1e-4, **options))

    ratio = alternate(ours, lambda: products_alone(models[0], 5), 7)
    products = f"its 8 matrix products alone ({source})"
    note(benchmark, f"a training step of model 1, {name}", products, ratio, limit, TARGET_RATIO)
    benchmark.pedantic(ours, rounds=1)
    assert ratio <= limit


@pytest.mark.parametrize(
    ("name", "limit", "optimiser"),
    [("", 1.7, 1e-4), (", AdamW, one cycle", 2.0, Optimiser(1e-4, "adamw", **CYCLE))],
    ids=["SGD", "AdamW"],
)
def test_fine_tuning_against_its_matrix_products(benchmark, name, limit, optimiser):
    """Eight trials of class-weighted fine-tuning, copies included, against their matrix products."""
    torch.set_num_threads(1)
    x, y, source = inputs()
    original, weight = trained(), torch.ones(10)
    weight[TARGET] = 4.0

    def ours():
        for trial in range(8):
            model = copy.deepcopy(original)
            fine_tune(model, minibatches(x, y, FEW, trial), CrossEntropy(weight), optimiser, trial)

    ratio = alternate(ours, lambda: products_alone(original, 8), 7)
    products = f"its 8 matrix products alone ({source})"
    note(benchmark, f"a step of weighted fine-tuning{name}", products, ratio, limit, TARGET_RATIO)
    benchmark.pedantic(ours, rounds=1)
    assert ratio <= limit


def stacked_products(models):
    """The products of `products_alone` for several networks at once, `FEW` times."""
    parts = [[model[k] for model in models] for k, part in enumerate(models[0]) if isinstance(part, nn.Linear)]
    weights = [torch.stack([layer.weight.detach() for layer in layers]) for layers in parts]
    inputs_of = [torch.randn(len(models), 64, weight.shape[2]) for weight in weights]
    deltas = [torch.randn(len(models), 64, weight.shape[1]) for weight in weights]
    for _ in range(FEW):
        for weight, below in zip(weights, inputs_of, strict=True):
            torch.bmm(below, weight.transpose(1, 2))
        for k, weight in enumerate(weights):
            torch.bmm(deltas[k].transpose(1, 2), inputs_of[k])
            if k:
                torch.bmm(deltas[k], weight)


def test_seeds_one_by_one_against_stacked(benchmark):
    """The matrix products of five seeds, one after the other, take hardly more than batched ones, or we would stack."""
    torch.set_num_threads(1)
    models = [find_model("model1").build((784,), 10) for _ in range(5)]
    ratio = alternate(lambda: products_alone(models[0], 5), lambda: stacked_products(models), 7)
    note(benchmark, "8 matrix products of 5 seeds, one by one", "the same, stacked (bmm)", ratio, 1.15)
    benchmark.pedantic(lambda: None)
    assert ratio <= 1.15
