"""The conformance suite for networks: every kind of network passes, every broken one fails the check meant for it."""

import sys
from pathlib import Path

import pytest
import torch
from broken_networks import BROKEN, Sound
from conftest import run_command

from tunebench.datasets import Place, open_dataset
from tunebench.networks.models import ModelSpec
from tunebench.testing import NETWORK_CHECKS, NetworkSubject, run_checks
from tunebench.testing.network_checks import seen_by_tuners

sys.path.append(str(Path(__file__).parents[1] / "networks"))
from zoo import ZOO


@pytest.fixture(scope="module")
def digits():
    """The training samples of the digits."""
    return open_dataset("digits", Place(None)).train()


def results(spec, data):
    """What every check says."""
    return {r.check: r for r in run_checks(NetworkSubject(spec, data), NETWORK_CHECKS)}


@pytest.mark.parametrize("name", ZOO)
def test_networks_of_every_kind_pass(digits, name):
    """MLPs, functional and torchvision networks, a transformer and an LSTM pass every check."""
    found = results(ZOO[name], digits)
    assert list(found) == list(NETWORK_CHECKS)
    assert {r.check: r.text for r in found.values() if r.status != "ok"} == {}


@pytest.mark.parametrize(("intended", "broken"), BROKEN, ids=[f"{c}-{b.__name__}" for c, b in BROKEN])
def test_a_broken_network_fails_the_intended_check(digits, intended, broken):
    """The first check that a broken network fails is the one meant for it, in one line that says what to do."""
    found = results(ModelSpec("broken", broken), digits)
    failed = [r for r in found.values() if r.status == "FAILED"]
    assert failed[0].check == intended
    assert "\n" not in failed[0].text


@pytest.mark.parametrize(
    "make", [lambda m: m.double(), lambda m: m.bfloat16(), lambda m: m.to(memory_format=torch.channels_last)]
)
def test_other_types_and_layouts_pass(digits, make):
    """Networks in float64, in bfloat16 and in channels-last memory pass."""
    spec = ModelSpec("other", lambda shape, classes: make(ZOO["lenet"].build(shape, classes)))
    assert {r.check: r.text for r in results(spec, digits).values() if r.status != "ok"} == {}


def test_the_command_checks_a_network():
    """``check -m`` prints every check and what tuners will see; a tuner and a network at once are refused."""
    found = run_command("check", "-m", "mlp:12-6")
    assert found.code == 0
    assert found.out.count("  ok ") == len(NETWORK_CHECKS)
    assert "18 hidden units from 2 sites, 6 of them read by the output layer" in found.out
    assert run_command("check", "original", "-m", "model1").code == 2
    assert run_command("check").code == 2


def test_what_tuners_see_of_a_network_without_units(digits):
    """A network that has no site and no output layer says so."""
    assert seen_by_tuners(NetworkSubject(ZOO["lstm"], digits)).startswith("0 hidden units from 0 sites; no output")
    assert Sound.__doc__
