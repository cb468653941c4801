"""Timing of candidates: beside the choice, cheap, and without a say in it."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tunebench.own import timing
from tunebench.own.pick import Line

SECONDS = {"chosen": 1.0, "alike": 0.5, "deeper": 2.0, "broken": 0.1, "slow": 1000.0}


def network(depth):
    """So many layers."""
    return nn.Sequential(*(nn.Linear(3, 3) for _ in range(depth))).eval()


@pytest.fixture
def made(monkeypatch):
    """A comparison, the tuners whose networks were made again, and the networks that were timed."""
    again, timed = [], []

    def rebuild(tuner, variant):
        again.append(tuner)
        if tuner == "broken":
            raise RuntimeError("out of memory")
        return network(2 if tuner == "deeper" else 1)

    def in_turn(tuned, original, x):
        timed.append(len(tuned))
        return 7.0, float(len(tuned))

    monkeypatch.setattr(timing, "in_turn", in_turn)
    records = {name: {"tune_seconds": 10 * seconds, "history": [{}] * 10} for name, seconds in SECONDS.items()}
    task = SimpleNamespace(model=network(1), x_valid=torch.zeros(4, 3))
    return SimpleNamespace(records=records, task=task, rebuild=rebuild), again, timed


def test_the_quick_ones_are_timed(made):
    """Quickest first; one that fails, or that would take too long to make again, is left out; networks alike share."""
    comparison, again, timed = made
    lines = [Line(name, "ok") for name in SECONDS] + [Line("failed", "error", "why")]
    found = timing.latency_ratios(comparison, lines, lines[0], network(1))
    assert found == {"chosen": 1.0, "alike": 1.0, "deeper": 2.0}
    assert again == ["broken", "alike", "deeper"]
    assert timed == [1, 2]
