"""What tuners make of the twelve networks that `tunebench check -m` knows comes home in their own architecture."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tunebench
from tunebench import LogitEdit
from tunebench.networks.activations import forward
from tunebench.networks.edits import fold
from tunebench.networks.sites import survey
from tunebench.own.files import shapes, write_network

sys.path.append(str(Path(__file__).parents[1] / "networks"))
from zoo import ZOO

TUNERS = {"bias": "logit-bias", "vector": "logit-vector", "last layer": "last-layer", "last row": "refit"}
LAST = {"synapse_layers": "-1"}
"""The refit may read what the output layer reads and no earlier units, so that it changes a row and adds nothing."""
WRAPPED = {"squeezenet1_1", "lstm"}
"""Networks without an output layer that a constant could be added to: see the last test."""


ROWS = 40
"""To fit on; as many to choose on."""


def given(name):
    """An untrained network of the zoo, and samples of which every fourth is of a class that it takes for another."""
    torch.manual_seed(0)
    model = ZOO[name].build((1, 8, 8), 10).eval()
    x = torch.randn(2 * ROWS, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = forward(model, x).argmax(1)
    target = (int(y.mode().values) + 1) % 10
    return model, x, torch.where(torch.arange(len(x)) % 4 == 0, target, y), target


@pytest.mark.parametrize("name", ZOO)
def test_keys_and_shapes_are_hers(name, tmp_path):
    """Every such tuner's result, with a bias on top, is a state dict with her keys and shapes and other numbers."""
    model, x, y, target = given(name)
    limits = {} if name == "lstm" else LAST
    found = tunebench.tune(
        model, (x[:ROWS], y[:ROWS]), (x[ROWS:], y[ROWS:]), target, budget=60, tuners=[*TUNERS.values()], trials=2,
        limits=limits,
    )  # fmt: skip
    comparison, original = found.details.comparison, model.state_dict()
    for tuner in TUNERS.values():
        record = comparison.records[tuner]
        if name in WRAPPED and record["status"] == "skipped":
            continue
        assert record["status"] == "ok", record["reason"]
        tuned = comparison.rebuild(tuner, "shifted")
        assert not torch.equal(forward(tuned, x), forward(model, x)), tuner
        (written,) = write_network(tuned, model, x, tmp_path, ())
        assert written.path.name == ("tuned.pt2" if name in WRAPPED else "tuned.safetensors"), tuner
        if name not in WRAPPED:
            state = load_file(written.path)
            assert {key: value.shape for key, value in state.items()} == shapes(model)
            assert any(not torch.equal(state[key], value) for key, value in original.items())


@pytest.mark.parametrize(("name", "low", "high"), [("squeezenet1_1", 0.0, torch.inf), ("lstm", -4.0, 4.0)])
def test_no_weights_of_these_add_a_constant(name, low, high):
    """Logits behind a ReLU, or of a tanh, stay in a range whatever the weights; with a constant added they leave it."""
    model, x, _, _ = given(name)
    generator = torch.Generator().manual_seed(0)
    for size in (0.1, 1.0, 10.0):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
        logits = forward(model, x[:8])
        assert low <= float(logits.min()) <= float(logits.max()) <= high
        constant = torch.full((10,), -float(logits.max()) - 5)
        anatomy = survey(model, (1, 8, 8))
        moved = forward(fold(model, LogitEdit(torch.zeros(10, anatomy.hidden), constant), anatomy), x[:8])
        assert float(moved.min()) < low
