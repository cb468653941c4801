"""Self-distillation: light classifiers at the depths of a network, one of which stays."""

import copy

import pytest
import torch
from pressed import accuracy, parent, samples, spec_of
from torch import nn
from tunebench_compression.selfdistillation import Attention, Joint, chain, exits, head

from tunebench import Inapplicable
from tunebench.networks.compressed import blank, compress, on_meta, shapes_of
from tunebench.networks.cost import count_flops, count_params


def wide_cnn():
    """Most of its weights stand behind its convolutions; untrained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10),
        ).eval()  # fmt: skip


def test_a_shallow_network_stays():
    """It is smaller, has grouped and depthwise convolutions and attention, classifies, and is rebuilt from shapes."""
    before, spec = wide_cnn(), spec_of("selfdistill")
    after, notes = compress(spec.made, before, samples(), 10, seed=0)
    assert notes == []
    x = samples().x[:5]
    assert count_params(after) < 0.6 * count_params(before)
    assert count_flops(after, x[:1]) < count_flops(before, x[:1])
    convolutions = [part for part in after.modules() if isinstance(part, nn.Conv2d)]
    assert any(part.groups == part.in_channels > 1 for part in convolutions)
    assert any(1 < part.groups < part.in_channels for part in convolutions)
    assert any(isinstance(part, Attention) for part in after.modules())
    assert accuracy(after) > 0.9
    again = blank(spec, before, [on_meta(shapes_of(after.state_dict()))], (1, 8, 8))
    again.load_state_dict(after.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(x), after(x))


def test_where_classifiers_may_stand():
    """Before parts with weights, before a Flatten, and where the parts follow each other in the network's forward."""
    x = samples().x[:2]
    assert {depth: tuple(seen.shape) for depth, seen in exits(wide_cnn(), x).items()} == {
        3: (2, 8, 4, 4),
        5: (2, 16, 4, 4),
    }
    assert len(chain(wide_cnn())) == 9

    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x):
            return self.three(self.one(self.two(x.flatten(1))))

    assert exits(Crossed(), x) == {}
    with pytest.raises(Inapplicable, match="no depth at which a classifier would leave fewer operations"):
        compress(spec_of("selfdistill").made, Crossed(), samples(), 10, seed=0)
    with pytest.raises(Inapplicable, match="no depth at which"):
        compress(spec_of("selfdistill").made, copy.deepcopy(parent("mlp")), samples(), 10, seed=0)


def test_the_deepest_is_the_teacher():
    """Its loss is that of the labels alone: gradients of what the others learn from it do not reach it."""
    model, x, y = wide_cnn(), samples().x[:8], samples().y[:8]
    found = exits(model, x[:2])
    joint = Joint(model, found, {depth: head(seen.shape, 10) for depth, seen in found.items()})
    logits = joint(x).detach().requires_grad_()
    joint.loss(logits, y).backward()
    deepest = logits.detach()[:, :10].clone().requires_grad_()
    nn.functional.cross_entropy(deepest, y).backward()
    assert torch.allclose(logits.grad[:, :10], deepest.grad)
    assert logits.grad[:, 10:].abs().sum() > 0
    with torch.no_grad():
        assert torch.equal(joint.eval()(x)[:, :10], model(x))
