"""Networks that are light by design, and the recipe that trains them."""

import pytest
import torch
from torch import nn

from tunebench import UsageError
from tunebench.datasets import Place, open_dataset
from tunebench.networks import originals
from tunebench.networks.models import expand_models, find_model
from tunebench.networks.originals import ensure_original, load_original, original_key
from tunebench.networks.probe import built
from tunebench.networks.recipes import Recipe, find_recipe
from tunebench.networks.sites import survey
from tunebench.networks.spec import LIGHT

CASES = [(name, shape) for name in LIGHT for shape in ((1, 28, 28), (3, 32, 32))]
CASES += [
    ("lenet", (1, 8, 8)),
    ("lenet", (3, 64, 48)),
    ("squeezenet1_1", (1, 8, 8)),
    ("shufflenet_v2_x0_5", (1, 64, 64)),
]


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_light_networks_fit_images(name, shape):
    """By its bare name each takes grey and colour images of every size, and its hidden units are found."""
    network = built(find_model(name), shape, 7)
    with torch.no_grad():
        assert network.eval()(torch.zeros(3, *shape)).shape == (3, 7)
    anatomy = survey(network, shape)
    assert anatomy.hidden > 0
    assert anatomy.sites[-1].head


@pytest.mark.parametrize("name", sorted(set(LIGHT) - {"lenet"}))
def test_a_bare_name_is_torchvisions_network(name):
    """The same code as under ``torchvision:NAME``."""
    bare, whole = find_model(name), find_model(f"torchvision:{name}")
    assert (bare.name, bare.code, bare.recipe) == (name, whole.code, "light")


def test_lenet_is_as_published():
    """On images of 28 pixels it has the parameters that LeNet-5 is known for; no other name is longer than needed."""
    assert sum(p.numel() for p in find_model("lenet").build((1, 28, 28), 10).parameters()) == 61_706
    assert expand_models(["mobilenet*"]) == ["mobilenet_v2", "mobilenet_v3_small"]


@pytest.mark.parametrize(
    ("name", "shape", "fault"),
    [
        ("lenet", (64,), "lenet needs images"),
        ("squeezenet1_1", (64,), "needs images"),
        ("lenett", (1, 28, 28), "did you mean lenet"),
        ("shufflenet_v2", (1, 28, 28), "did you mean shufflenet_v2_x0_5"),
        ("mobilenet_v3", (1, 28, 28), "did you mean mobilenet_v2 or mobilenet_v3_small"),
    ],
)
def test_what_cannot_be(name, shape, fault):
    """Data without images and slips of the finger are one line that says what to do."""
    with pytest.raises(UsageError, match=fault) as caught:
        built(find_model(name), shape, 10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "own", "found"),
    [
        (None, "light", "light"),
        ("converged", "light", "light"),
        ("quick", "light", "quick"),
        ("paper", "light", "paper"),
        ("light", None, "light"),
        ("converged", None, "converged"),
    ],
)
def test_converged_is_what_trains_a_network_to_the_end(asked, own, found):
    """A network with a recipe of its own is trained by it unless another is asked for by name."""
    assert find_recipe(asked, 1000, "x", 60_000, own).name == found


def test_a_network_with_an_unknown_recipe():
    """The recipe that a plugin's network asks for is one of ours."""
    with pytest.raises(UsageError, match="unknown recipe 'lihgt'; did you mean light"):
        find_recipe(None, None, "x", 1000, "lihgt")


@pytest.mark.parametrize(("samples", "epochs"), [(60_000, 10), (1_000_000, 10), (36_049, 13), (938, 60)])
def test_epochs_of_the_light_recipe(samples, epochs):
    """Training sees half a million samples, in ten epochs at least and sixty at most."""
    assert find_recipe("light", None, "x", samples).steps == epochs * -(-samples // 64)


def test_a_recipe_in_a_key():
    """Every field of the light recipe counts, and those that came later leave the keys of older recipes alone."""
    light = find_recipe("light", None, "x", 1000)
    assert set(light.facts) == {"name", "lr", "steps", "patience", "batch_size", "momentum", "weight_decay", "schedule"}
    assert set(Recipe("quick", lr=0.05, steps=3).facts) == {"name", "lr", "steps", "patience", "batch_size"}


def test_the_light_recipe_is_torchs_own():
    """SGD with Nesterov's momentum, weight decay and one cycle over all steps."""
    chosen = find_recipe("light", None, "x", 1000).optimiser()
    assert (chosen.name, chosen.momentum, chosen.nesterov, chosen.weight_decay) == ("sgd", 0.9, True, 5e-4)
    assert (chosen.schedule, chosen.steps) == ("one-cycle", 60 * 16)
    assert not chosen.plain


def test_dropout_depends_on_the_seed_alone(monkeypatch, tmp_path):
    """An original that draws random numbers while it trains is the same whatever the global generator is at."""
    digits = open_dataset("digits", Place(None))
    spec = find_model("mlp:6")

    def build(shape, classes):
        return nn.Sequential(*spec.build(shape, classes)[:3], nn.Dropout(0.5), nn.Linear(6, classes))

    noisy = type(spec)("noisy", build)
    key, found = original_key(digits, noisy, Recipe("quick", lr=0.05, steps=20), "holdout", 3), []
    for start in (1, 2):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / str(start)))
        originals.materialise(digits)
        torch.manual_seed(start)
        ensure_original(key, noisy)
        found.append(load_original(key, noisy)[0].state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
