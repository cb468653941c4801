"""What compressions promise of a network holds after every tuner: zeros, two values per filter, low ranks."""

import copy

import optuna
import pytest
import torch
from pressed import accuracy, parent, pressed, registry, samples, spec_of, task_of

from tunebench import LogitEdit
from tunebench.networks.between import between
from tunebench.networks.compressed import blank, on_meta, shapes_of
from tunebench.networks.cost import count_bytes, count_params
from tunebench.networks.edits import anatomy_of, fold
from tunebench.networks.losses import CrossEntropy
from tunebench.networks.storage import stored
from tunebench.networks.training import Optimiser, fine_tune, minibatches

TUNERS = sorted(registry().tuners)
FORMS = ("prune:0.8", "binary", "int4w", "lowrank:0.3")
ALL = (*FORMS, "channels:0.4", "distill:0.6", "amc:0.5", "nas:0.6")


def weights(model):
    """Every weight that a layer computes with, in eval mode, by name."""
    layers = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)}
    return {name: layer.weight.detach() for name, layer in layers.items()}


def some_parameters(tuner):
    """A point of a tuner's search space."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return study.ask(fixed_distributions=dict(tuner.search_space())).params


def assert_form(written, before, after):
    """The promise of a compression, of all layers but the output layer, which tuners may edit."""
    names = list(weights(before))[:-1]
    assert len(names) > 1
    assert list(weights(after)) == list(weights(before))
    for name in names:
        old, new = weights(before)[name], weights(after)[name]
        assert old.shape == new.shape
        if written.startswith("prune"):
            assert not new[old == 0].any()
        if written.startswith("binary"):
            assert all(len(row.abs().unique()) == 1 for row in new)
        if written.startswith("int4w"):
            assert all(len(row.unique()) <= 15 for row in new)


@pytest.mark.parametrize("written", FORMS)
@pytest.mark.parametrize("name", TUNERS)
def test_every_tuner_keeps_the_form(name, written):
    """A tuned network has the zeros, the two values per filter and the factors of the one that it was made from.

    Halfway to it as well, as the interpolated variant goes.
    """
    model, _ = pressed("cnn", written)
    tuner, task = registry().tuner(name), task_of(model, max_steps=5)
    assert tuner.skip(task) is None
    output = tuner.tune(task, some_parameters(tuner), tuner.prepare(task))
    for found in (output, between(model, output, 0.5)):
        network = fold(model, found, anatomy_of(task)) if isinstance(found, LogitEdit) else found
        assert_form(written, model, getattr(network, "base", network))


@pytest.mark.parametrize("written", FORMS)
@pytest.mark.parametrize("optimiser", [
    Optimiser(0.1, momentum=0.9, weight_decay=0.1), Optimiser(0.01, "adamw", weight_decay=0.1),
], ids=["momentum", "adamw"])  # fmt: skip
def test_any_optimiser_keeps_the_form(written, optimiser):
    """Momentum and decay move what is left and nothing else; the weights do move."""
    model, _ = pressed("cnn", written)
    after = blank_copy("cnn", written)
    fine_tune(after, minibatches(samples().x, samples().y, 20, seed=0), CrossEntropy(), optimiser, seed=0)
    assert_form(written, model, after)
    first = next(iter(weights(model)))
    assert not torch.equal(weights(model)[first], weights(after)[first])


def blank_copy(kind, written):
    """The compressed network, rebuilt from its parent's architecture and its own numbers."""
    model, _ = pressed(kind, written)
    shapes = on_meta(shapes_of(model.state_dict()))
    copied = blank(spec_of(written), copy.deepcopy(parent(kind)), [shapes], (1, 8, 8))
    copied.load_state_dict(model.state_dict())
    return copied.eval()


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("written", ALL)
def test_rebuilt_from_shapes(written, kind):
    """A network is rebuilt from its parent's architecture and the shapes of its state dict alone."""
    model, _ = pressed(kind, written)
    with torch.no_grad():
        assert torch.equal(blank_copy(kind, written)(samples().x[:9]), model(samples().x[:9]))


@pytest.mark.parametrize(
    ("written", "points"),
    [
        ("prune:0.8", 0.03),
        ("binary", 0.08),
        ("int4w", 0.03),
        ("lowrank:0.3", 0.03),
        ("channels:0.4", 0.03),
        ("distill:0.6", 0.03),
    ],
)
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_it_still_classifies(kind, written, points):
    """Little accuracy is lost on samples that were not trained on."""
    model, _ = pressed(kind, written)
    assert accuracy(model) > accuracy(parent(kind)) - points


def test_prune_leaves_its_share():
    """A fifth of the weights stays, all layers together, and is stored as values and a bit for each place."""
    model, _ = pressed("cnn", "prune:0.8")
    dense = weights(parent("cnn"))
    total, left = sum(w.numel() for w in dense.values()), sum(int(w.ne(0).sum()) for w in weights(model).values())
    assert left == pytest.approx(0.2 * total, rel=0.01)
    assert count_params(parent("cnn")) - count_params(model) == pytest.approx(total - left, abs=3)
    assert count_bytes(model) < 0.3 * count_bytes(parent("cnn"))


def test_what_is_stored_says_all():
    """From the packed tensors of a pruned and of a binary layer the weights come back to the last bit."""
    pruned, binary = pressed("mlp", "prune:0.8")[0], pressed("mlp", "binary")[0]
    found = stored(pruned)
    values, places = (found[f"1.parametrizations.weight.{name}"] for name in ("values", "places"))
    weight = torch.zeros_like(pruned[1].weight)
    weight[unpacked(places, weight.shape)] = values
    assert torch.equal(weight, pruned[1].weight)
    found = stored(binary)
    signs, scale = (found[f"1.parametrizations.weight.{name}"] for name in ("signs", "scale"))
    sized = torch.where(unpacked(signs, binary[1].weight.shape), scale[:, None], -scale[:, None])
    assert torch.equal(sized, binary[1].weight)
    assert "7.weight" not in found
    assert signs.numel() == -(-binary[1].weight.numel() // 8)


def test_half_a_byte_for_a_weight():
    """From packed integers and a number for each filter the weights come back, and little more is stored."""
    model, _ = pressed("mlp", "int4w")
    weight, found = model[1].weight, stored(model)
    integers, scale = (found[f"1.parametrizations.weight.{name}"] for name in ("integers", "scale"))
    halves = torch.stack([integers & 15, integers >> 4], 1).flatten()[: weight.numel()].long()
    signed = torch.where(halves > 7, halves - 16, halves).view(weight.shape)
    assert torch.allclose(signed * scale[:, None], weight, rtol=1e-6, atol=0)
    assert set(signed.abs().amax(1).tolist()) == {7}
    assert integers.numel() == -(-weight.numel() // 2)
    dense = count_params(parent("mlp"))
    assert dense - count_params(model) == sum(int(w.eq(0).sum()) for w in weights(model).values()) > 0


def unpacked(bits, shape):
    """Flags of ``shape`` from eight in a byte, lowest bit first."""
    flags = (bits[:, None] >> torch.arange(8)) & 1
    return flags.flatten()[: shape.numel()].view(shape).bool()


def test_binary_leaves_the_output_layer():
    """Its weights are its own, so that an edit of it is an edit of its numbers."""
    model, _ = pressed("mlp", "binary")
    assert isinstance(model[-1].weight, torch.nn.Parameter)
    assert len(model[-1].weight.abs().unique()) > 100
