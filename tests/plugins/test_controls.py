"""The controls of leaderboards/controls: each differs from the tuner that it checks in the one thing it says."""

import dataclasses
import tomllib
from pathlib import Path

import pytest
import torch
from digits import digits_task, tuned
from tunebench_lift import augmentation

from tunebench.plugins import PluginFile, load_registry
from tunebench.selection.search import trials_of

BOARD = Path(__file__).parents[2] / "leaderboards" / "controls"
FILE = BOARD / "controls.py"


@pytest.fixture(scope="module")
def registry():
    """The bundled tuners and the controls."""
    return load_registry([PluginFile.read(FILE)])


def test_the_board_has_those_that_are_cheap(registry):
    """And no tuner that neither the file nor tunebench has."""
    controls = {name for name in registry.tuners if registry.plugin_of(name).endswith(FILE.name)}
    assert controls == {"lift-once", "lift-unaugmented", "refit-sparse-7"}
    named = set(tomllib.loads((BOARD / "suite.toml").read_text("utf-8"))["tuners"])
    assert named & controls == controls - {"lift-unaugmented"}
    assert named <= set(registry.tuners)


@pytest.mark.parametrize("targets", [(8,), (3, 8)])
def test_seven_synapses_and_no_more(registry, targets):
    """No proposal of a search has more than 7 synapses per target; some have 7, where `refit-sparse` goes on to 16."""
    task = dataclasses.replace(digits_task(), targets=targets)
    most = {}
    for name in ("refit-sparse-7", "refit-sparse"):
        tuner = registry.tuner(name)
        prepared = tuner.prepare(task)
        edits = [tuner.tune(task, params, prepared) for _, params, _ in trials_of(tuner.search_space(), 30, seed=0)]
        assert all(not edit.weight[[c for c in range(10) if c not in targets]].any() for edit in edits)
        most[name] = max(int(row.count_nonzero()) for edit in edits for row in edit.weight)
    assert most["refit-sparse-7"] == 7
    assert most["refit-sparse"] > 12


def test_the_space_differs_in_the_number_of_synapses_alone(registry):
    """All else is searched as by `refit-sparse`."""
    few, many = (registry.tuner(name).search_space() for name in ("refit-sparse-7", "refit-sparse"))
    assert {name for name in many if few[name] != many[name]} == {"n"}
    assert set(few) == set(many)


def test_unaugmented_warps_nothing(registry, monkeypatch):
    """It trains as `lift` does where a warp is the image itself, and otherwise elsewhere."""
    task = dataclasses.replace(digits_task(), max_steps=4)
    control, lift = registry.tuner("lift-unaugmented"), registry.tuner("lift")
    weight = tuned(control, task, {"n": 2})[1].weight
    assert not torch.equal(weight, tuned(lift, task, {"n": 2})[1].weight)
    for name in ("SHIFT", "TURN", "ZOOM"):
        monkeypatch.setattr(augmentation, name, 0.0)
    torch.testing.assert_close(weight, tuned(lift, task, {"n": 2})[1].weight, atol=1e-4, rtol=1e-3)


def test_once_is_the_first_training(registry):
    """Of all of `lift`'s steps it takes those of one trial, whatever is averaged."""
    task = dataclasses.replace(digits_task(), max_steps=4)
    once, lift = registry.tuner("lift-once"), registry.tuner("lift")
    (only,) = once.prepare(task)
    assert torch.equal(only[1].weight, lift.prepare(task)[-1][1].weight)
    assert torch.equal(tuned(once, task, {"n": 8})[1].weight, only[1].weight)
