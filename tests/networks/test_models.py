"""Networks by name."""

import pytest
import torch
from torch import nn

from tunebench import UsageError
from tunebench.networks.models import ModelSpec, expand_models, find_model, offered_models
from tunebench.plugins import PluginFile, load_registry


@pytest.mark.parametrize(
    ("name", "widths"), [("model1", (100, 64)), ("model2", (128, 96, 64)), ("mlp:7", (7,)), ("mlp:5-6-7", (5, 6, 7))]
)
def test_widths(name, widths):
    """Every name gives the hidden widths that it promises, with a ReLU after each, and logits at the end."""
    model = find_model(name).build((1, 28, 28), 10)
    linears = [part for part in model if isinstance(part, nn.Linear)]
    assert [layer.out_features for layer in linears] == [*widths, 10]
    assert sum(isinstance(part, nn.ReLU) for part in model) == len(widths)
    assert isinstance(model[-1], nn.Linear)
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


@pytest.mark.parametrize("name", ["mlp:", "mlp:0", "mlp:10-", "mlp:10-x", "mlp:-3"])
def test_a_bad_width_says_how_to_write_it(name):
    """Widths that make no network are refused with an example."""
    with pytest.raises(UsageError, match="as in mlp:100-64"):
        find_model(name)


def test_an_unknown_name_gets_the_nearest():
    """A slip of the finger is answered with what was meant."""
    with pytest.raises(UsageError, match="unknown model 'modle1'; did you mean model1 or model2"):
        find_model("modle1")


def test_globs():
    """They stand for bundled networks, a plugin's, and with their prefix for torchvision's."""
    assert expand_models(["model*", "mlp:3"], ["model-x"]) == ["model-x", "model1", "model2", "mlp:3"]
    found = ["torchvision:shufflenet_v2_x0_5", "torchvision:shufflenet_v2_x1_5"]
    assert expand_models(["torchvision:shufflenet_v2_x?_5"]) == found


def test_a_plugin_adds_a_network():
    """A ModelSpec that a plugin offers is found by its name."""
    spec = ModelSpec("linear", lambda shape, classes: nn.Linear(shape[0], classes))
    assert find_model("linear", [spec]) is spec


def test_the_code_of_a_plugins_network_is_known(tmp_path):
    """Its digest changes with the plugin's file; what is no network is reported, and the others are there."""
    source = (
        "from torch import nn\nfrom tunebench import hookimpl\nfrom tunebench.models import ModelSpec\n"
        "def build(shape, classes):\n    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))\n"
        "@hookimpl\ndef tunebench_models():\n"
        "    return [ModelSpec('linear', build), ModelSpec('theirs', nn.Identity), 7]\n"
    )
    seen = []
    for text in (source, source, source + "# edited\n"):
        (tmp_path / "nets.py").write_text(text)
        registry = load_registry([PluginFile.read(tmp_path / "nets.py")], entry_points=False)
        seen.append({name: spec.code for name, spec in offered_models(registry).items()})
        assert "returned int" in registry.problems[str(tmp_path / "nets.py")]
    assert seen[0] == seen[1]
    assert all(seen[1][name] != seen[2][name] for name in ("linear", "theirs"))
