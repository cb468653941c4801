"""Searches under a limit of operations: they meet it, repeat themselves, and say when they cannot."""

import copy

import pytest
import torch
from pressed import parent, pressed, samples, spec_of

from tunebench import Inapplicable
from tunebench.networks.compressed import compress
from tunebench.networks.cost import count_flops


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("value", [0.35, 0.5])
def test_amc_meets_its_limit(kind, value):
    """At most the share of the FLOPs that was asked for, and at least 0.98 of that."""
    x = samples().x[:1]
    share = count_flops(pressed(kind, f"amc:{value}")[0], x) / count_flops(parent(kind), x)
    assert 0.98 * value <= share <= value


def test_amc_chooses_for_each_layer():
    """Layers keep different shares of their channels."""
    widths = [
        [len(p) for p in model.parameters() if p.dim() > 1] for model in (parent("cnn"), pressed("cnn", "amc:0.5")[0])
    ]
    kept = [new / old for old, new in zip(*widths, strict=True)]
    assert kept[-1] == 1
    assert max(kept[:-1]) - min(kept[:-1]) > 0.1


def test_amc_repeats_itself():
    """The same seed gives the same network, and the global generators stay where they were."""
    before = torch.random.get_rng_state()
    made = spec_of("amc:0.5").made
    again, _ = compress(made, copy.deepcopy(parent("mlp")), samples(), 10, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    first = pressed("mlp", "amc:0.5")[0].state_dict()
    assert all(torch.equal(value, first[name]) for name, value in again.state_dict().items())


def test_amc_says_what_it_cannot():
    """So few operations that no layer could stay."""
    with pytest.raises(Inapplicable, match=r"no share of channels in each layer leaves 0.01 of the FLOPs"):
        compress(spec_of("amc:0.01").made, parent("mlp"), samples(), 10, seed=0)
