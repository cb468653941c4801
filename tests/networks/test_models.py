"""Networks by name."""

import pytest
import torch
from torch import nn

from tunebench import UsageError
from tunebench.networks.models import ModelSpec, expand_models, find_model


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
