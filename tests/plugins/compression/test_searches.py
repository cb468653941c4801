"""Searches under a limit of operations: they meet it, repeat themselves, and say when they cannot."""

import copy

import pytest
import torch
from pressed import parent, pressed, samples, spec_of

from tunebench import Inapplicable
from tunebench.datasets import Samples
from tunebench.networks.compressed import blank, compress, on_meta, shapes_of
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


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_nas_keeps_to_its_limit(kind):
    """Another network, of fewer operations than were allowed, that learned what the original says."""
    after, x = pressed(kind, "nas:0.6")[0], samples().x
    assert count_flops(after, x[:1]) <= 0.6 * count_flops(parent(kind), x[:1])
    with torch.no_grad():
        assert float((after(x).argmax(1) == parent(kind)(x).argmax(1)).double().mean()) > 0.9


def test_nas_without_images():
    """Samples that are no images get dense layers alone; the network is rebuilt from the names of its parts."""
    flat = torch.nn.Sequential(*parent("mlp")[1:])
    few = Samples(samples().x.flatten(1)[:200], samples().y[:200])
    spec = spec_of("nas:0.5")
    after, _ = compress(spec.made, flat, few, 10, seed=0)
    assert {type(part) for part in after.modules()} <= {
        torch.nn.Sequential,
        torch.nn.Flatten,
        torch.nn.Linear,
        torch.nn.ReLU,
    }
    again = blank(spec, flat, [on_meta(shapes_of(after.state_dict()))], (64,))
    again.load_state_dict(after.state_dict())
    assert torch.equal(again.eval()(few.x), after(few.x))


def test_nas_says_what_it_cannot():
    """So few operations that no network of the space has them."""
    with pytest.raises(Inapplicable, match=r"no network of the search space has as little as 0.001 of the FLOPs"):
        compress(spec_of("nas:0.001").made, parent("mlp"), samples(), 10, seed=0)
