"""Fewer channels, and students: smaller networks of the same kind, rebuilt from shapes, and what is told."""

import copy

import pytest
import torch
from pressed import parent, pressed, registry, samples, spec_of
from safetensors.torch import save_model
from torch import nn
from tunebench_compression.thinning import fresh, resized, thin

from tunebench import Inapplicable
from tunebench.datasets import Samples
from tunebench.networks.compressed import blank, check_rebuilt, compress, network_of, on_meta, shapes_of, task_of
from tunebench.networks.cost import count_flops, count_params
from tunebench.networks.probe import built


@pytest.mark.parametrize(("written", "flops"), [("channels:0.5", (0.2, 0.5)), ("distill:0.5", (0.2, 0.5))])
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_half_of_the_channels(kind, written, flops):
    """Every hidden layer has half of its channels, inputs and classes stay."""
    before, (after, notes) = parent(kind), pressed(kind, written)
    x = samples().x[:1]
    assert flops[0] < count_flops(after, x) / count_flops(before, x) < flops[1] + 0.05
    layers = [[p for p in model.parameters() if p.dim() > 1] for model in (before, after)]
    for old, new in list(zip(*layers, strict=True))[:-1]:
        assert len(new) == len(old) // 2
    assert len(layers[1][-1]) == 10
    assert notes == []


def test_a_student_by_name():
    """It is that network, it is told when it is larger than its teacher, and it learns from it."""
    small, notes = pressed("cnn", "distill:mlp:16")
    assert (notes, count_params(small)) == ([], 64 * 16 + 16 + 160 + 10)
    large, notes = pressed("mlp", "distill:mlp:64")
    assert notes == ["the student has 4,810 parameters, its teacher 2,778"]
    with torch.no_grad():
        said, theirs = large(samples().x), parent("mlp")(samples().x)
    assert float((said.argmax(1) == theirs.argmax(1)).double().mean()) > 0.9


@pytest.mark.parametrize(
    ("name", "said"),
    [("distill:lenett", "unknown model 'lenett'"), ("distill:1.5", "give a share"), ("channels:1", "give a share")],
)
def test_bad_values(tunebench, name, said):
    """A student that there is not, and shares that are none, end a run with one line."""
    done = tunebench("run", "-d", "digits", "-m", f"mlp:8+{name}", "-t", "original", "-o", "never")
    assert done.code == 2
    assert said in done.err
    assert done.err.strip().count("\n") == 0


def test_a_network_that_its_file_does_not_make_is_refused(tmp_path):
    """Built from the same file it says something else: there is more to it than its weights. Sound ones pass."""
    spec, (model, _) = spec_of("channels:0.5"), pressed("mlp", "channels:0.5")
    save_model(model, str(tmp_path / "model.safetensors"))
    check_rebuilt(spec, [], tmp_path / "model.safetensors", model, samples().x[:2])
    twice = nn.Sequential(model, nn.Hardtanh(-0.1, 0.1)).eval()
    with pytest.raises(Inapplicable, match="says something else when it is built again"):
        check_rebuilt(spec, [], tmp_path / "model.safetensors", twice, samples().x[:2])


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1"])
def test_grouped_convolutions(name):
    """Depthwise convolutions, residual sums, concatenations, enlarged inputs: followed, and rebuilt from shapes."""
    spec = network_of(f"{name}+channels:0.5", registry())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before = built(spec, (1, 8, 8), 10).eval()
    few = Samples(samples().x[:4], samples().y[:4])
    after = thin(copy.deepcopy(before), task_of(spec.made, before, few, 10, seed=0), 0.5)
    assert count_params(after) < 0.6 * count_params(before)
    again = blank(spec, before, [on_meta(shapes_of(after.state_dict()))], (1, 8, 8))
    again.load_state_dict(after.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(few.x), after(few.x))


def test_what_cannot_be_followed():
    """Weights that are held already, and a forward with sizes of its own, are refused with the reason."""
    with pytest.raises(Inapplicable, match="the weights of 1 are held in a compressed form"):
        compress(spec_of("channels").made, pressed("mlp", "binary")[0], samples(), 10, seed=0)

    class Rigid(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(64, 8), nn.Linear(8, 10)

        def forward(self, x):
            return self.second(self.first(x.flatten(1)).view(-1, 2, 4).flatten(1)[:, :8].reshape(-1, 8))

    with pytest.raises(Inapplicable, match="torch-pruning cannot take channels away from the network: "):
        compress(spec_of("channels").made, Rigid(), samples(), 10, seed=0)


def test_fresh_weights():
    """New ones, in the same shapes; and only what has another shape is replaced when sizes change."""
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    before = copy.deepcopy(model.state_dict())
    assert torch.equal(resized(model, before)[0].weight, before["0.weight"])
    assert not torch.equal(fresh(model)[0].weight, before["0.weight"])
