"""What is timed, what need not be, and when a ratio is known well enough."""

from __future__ import annotations

import copy
import types

import pytest
import torch
from torch import nn

from tunebench.grid import latency
from tunebench.grid.latency import in_turn, settled, structure
from tunebench.results.store import Store


def network(width=8):
    """A small stack of layers."""
    return nn.Sequential(nn.Flatten(), nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3)).eval()


def test_other_weights_are_the_same_structure():
    """Networks that differ in nothing but the values of their weights are built alike."""
    torch.manual_seed(0)
    assert structure(network()) == structure(network())


def test_whatever_a_network_holds_can_be_compared():
    """Tensors, and numbers that are not equal to themselves, in its settings."""

    def holding():
        model = network()
        model.anchors, model.missing = (torch.ones(3), (1, 2)), float("nan")
        return model

    assert structure(holding()) == structure(holding())
    assert structure(holding()) != structure(network())


@pytest.mark.parametrize("change", ["width", "operator", "setting", "hook", "forward", "attribute", "stride", "dtype"])
def test_whatever_can_take_time_is_another_structure(change):
    """A wider layer, another operator or option, a hook, a patched method, a transposed or converted weight."""
    model = network()
    if change == "width":
        model = network(9)
    elif change == "operator":
        model[2] = nn.GELU()
    elif change == "setting":
        model[2].inplace = True
    elif change == "hook":
        model.register_forward_pre_hook(lambda *_: None)
    elif change == "forward":
        model.forward = types.MethodType(lambda self, x: self[3](self[2](self[1](self[0](x)))), model)
    elif change == "attribute":
        model.repeats = 2
    elif change == "stride":
        model[1].weight = nn.Parameter(model[1].weight.t().contiguous().t())
    else:
        model.double()
    assert structure(model) != structure(network())


def test_a_ratio_settles_by_its_ranks():
    """Equal ratios settle after the fewest rounds; two camps ten per cent apart never do, one outlier does no harm."""
    assert not settled([1.0] * (latency.LEAST_ROUNDS - 1))
    assert settled([1.0] * latency.LEAST_ROUNDS)
    assert settled([1.0] * 29 + [50.0])
    assert not settled([1.0, 1.1] * 75)


def test_rounds_end_when_the_ratio_is_known(monkeypatch):
    """A clock without noise needs the fewest rounds, in which both go first in turn, and gives the exact ratio."""
    slow, fast = network(), network()
    now, calls = [0.0], []

    def forward(name, seconds):
        def run(self, x):
            calls.append(name)
            now[0] += seconds
            return x

        return run

    slow.forward = types.MethodType(forward("slow", 3e-4), slow)
    fast.forward = types.MethodType(forward("fast", 2e-4), fast)
    monkeypatch.setattr(latency, "timer", lambda: now[0])
    microseconds, ratio = in_turn(slow, fast, torch.zeros(1, 4))
    assert (microseconds, ratio) == (pytest.approx(300), pytest.approx(1.5))
    rounds = calls[2 * latency.WARM_UP :]
    assert len(rounds) == 2 * latency.LEAST_ROUNDS
    assert rounds[:4] == ["slow", "fast", "fast", "slow"]


def test_a_copy_takes_as_long():
    """A real network against its copy has a ratio near one."""
    model = network(64)
    assert in_turn(model, copy.deepcopy(model), torch.zeros(8, 4))[1] == pytest.approx(1, abs=0.3)


def test_of_networks_built_alike_one_is_timed(digits_run):
    """The original, a bias on a logit and pruned weights share one measurement; every key is the cell's own."""
    store = Store(digits_run)
    times = {cell.tuner: store.get("times", cell) for cell, _ in store.cells() if cell.seed == 0}
    alike = {name for name, found in times.items() if found["like_original"]}
    assert {"original", "logit-bias", "cw-p"} <= alike
    assert len({times[name]["latency_us"] for name in alike}) == 1
    assert len({found["key"] for found in times.values()}) == len(times)
    timed = [found["latency_us"] for name, found in times.items() if name not in alike]
    assert len(set(timed)) == len(timed)


POPS = """
from optuna.distributions import FloatDistribution
from tunebench import LogitEdit, Tuner

class Pops(Tuner):
    name = "pops"

    def search_space(self):
        return {"bias": FloatDistribution(1.0, 2.0)}

    def tune(self, task, params, prepared):
        params["more"] = 1
        return LogitEdit.of_target(task, bias=params.pop("bias"))
"""


def test_a_tuner_that_empties_its_parameters_is_timed(tunebench, tmp_path):
    """A run keeps what was tried, tunes with it again for the latency pass, and finds the network of the cell."""
    plugin, out = tmp_path / "pops.py", tmp_path / "out"
    plugin.write_text(POPS)
    run = ("run", "-d", "digits", "-m", "mlp:8", "-t", "pops", "--seeds", "1", "--trials", "3", "--budget", "100")
    done = tunebench(*run, "--plugin", plugin, "-o", out, "-q", "-j", "1")
    assert done.code == 0, done.err
    store = Store(out)
    ((cell, _),) = store.cells()
    record = store.get("cells", cell)
    chosen = record["points"]["plain"]["100.0"]
    assert not chosen["fell_back"]
    assert chosen["params"].keys() == {"bias"}
    assert [entry["params"].keys() for entry in record["history"]] == [{"bias"}, {"bias"}]
    assert chosen["params"] in [entry["params"] for entry in record["history"]]
    assert store.get("times", cell)["status"] == "ok"
