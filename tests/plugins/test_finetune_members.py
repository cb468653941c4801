"""The members of the family that are more than a loss: camri's output layer, jtt's epochs, the soup."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
import tunebench_finetune
from digits import assert_keeps_the_rules, digits_task, tuned
from torch import nn
from tunebench_finetune import soup as kitchen
from tunebench_finetune.camri import Angular
from tunebench_finetune.jtt import JustTrainTwice

from tunebench.networks.training import minibatches
from tunebench.selection.path import was_touched, watched

TUNERS = {tuner.name: tuner for tuner in tunebench_finetune.tunebench_tuners()}
TRAINED = {"optimiser": "adamw", "lr_multiplier": 1.0, "effort": 0.4}


@pytest.fixture(scope="session")
def task():
    """Digit 8 on a small under-trained network."""
    return digits_task()


@pytest.fixture(scope="session")
def conv(task):
    """The same on a convolution with normalisation, dropout and a frozen parameter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(144, 10))
        model = nn.Sequential(*parts).eval()
    model[0].bias.requires_grad_(False)
    with torch.no_grad():
        hidden, logits = model[:-1](task.x_train), model(task.x_train)
    layer_of = torch.zeros(144, dtype=torch.int64)
    return dataclasses.replace(task, model=model, hidden_train=hidden, logits_train=logits, layer_of=layer_of)


@pytest.mark.parametrize("name", ["vs-loss", "group-dro", "camri", "jtt", "soup"])
def test_any_network_is_trained(conv, name):
    """Normalisation, dropout and frozen parameters are no obstacle, and the rules are kept."""
    params = {"delta": 0.5, "iota": -1.0, "lambda": 4, "eta": 0.01, "margin": 0.2, "scale": 16.0, "n": 8}
    assert TUNERS[name].skip(conv) is None
    few = dataclasses.replace(conv, max_steps=5)
    assert_keeps_the_rules(TUNERS[name], few, params | TRAINED)
    assert not torch.allclose(tuned(TUNERS[name], few, params | TRAINED)(conv.x_valid), conv.model(conv.x_valid))


def test_camri_comes_back_as_the_network_it_was(task):
    """The same layers and names; rows of one length and no bias, so that its choice is that of the largest cosine."""
    model = tuned(TUNERS["camri"], task, TRAINED | {"margin": 0.2, "scale": 16.0})
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert shapes == {name: value.shape for name, value in task.model.state_dict().items()}
    assert [type(part) for part in model] == [type(part) for part in task.model]
    lengths = model[5].weight.norm(dim=1)
    torch.testing.assert_close(lengths, lengths[:1].expand(10))
    assert not model[5].bias.any()
    features = model[:5](task.x_valid)
    cosines = F.cosine_similarity(features[:, None], model[5].weight[None], dim=2)
    assert torch.equal(cosines.argmax(1), model(task.x_valid).argmax(1))


def test_camri_trains_on_angles(task):
    """What it trains is the literal network of cosines, by the literal loss."""
    model = copy.deepcopy(task.model)
    weight = nn.Parameter(model[5].weight.detach().clone())
    optimizer = torch.optim.SGD([*model[:5].parameters(), weight], lr=task.learning_rate)
    for x, y in minibatches(task.x_train, task.y_train, 38, task.seed):
        optimizer.zero_grad()
        theta = F.cosine_similarity(model[:5](x)[:, None], weight[None], dim=2).clamp(-1 + 1e-7, 1 - 1e-7).acos()
        moved = theta + 0.3 * F.one_hot(y, 10) * (y == 8)[:, None]
        F.cross_entropy(8 * moved.cos(), y).backward()
        optimizer.step()
    params = {"optimiser": "sgd", "lr_multiplier": 1.0, "effort": 0.4, "margin": 0.3, "scale": 8.0}
    mine = tuned(TUNERS["camri"], task, params)
    torch.testing.assert_close(F.normalize(mine[5].weight), F.normalize(weight), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mine[1].weight, model[1].weight, rtol=1e-3, atol=1e-4)


def test_camri_skips_what_has_no_angles(task):
    """An output layer that is not Linear, or not fed by the hidden units, is a reason."""
    assert "no Linear layer" in TUNERS["camri"].skip(
        dataclasses.replace(task, model=nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten()))
    )
    assert "not fed" in TUNERS["camri"].skip(dataclasses.replace(task, hidden_train=task.hidden_train * 2))


def test_dead_features_have_an_angle_too():
    """Features that are all zero give logits of zero and finite gradients."""
    layer = Angular(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), 8.0)
    logits = layer(torch.zeros(2, 4))
    logits.sum().backward()
    assert not logits.any()
    assert layer.weight.grad.isfinite().all()


@pytest.mark.parametrize("targets", [(8,), (8, 3)])
def test_jtt_repeats_the_errors_on_the_targets(task, targets):
    """An epoch holds every sample once, and each error of the original on a target lambda times."""
    task = dataclasses.replace(task, targets=targets)
    x = torch.arange(1200.0)[:, None]
    tuner = JustTrainTwice()
    errors = tuner.prepare(task)
    wrong = task.logits_train.argmax(1) != task.y_train
    wrong &= sum(task.y_train == target for target in targets).bool()
    assert errors.reason is None
    steps = -(-(1200 + 4 * int(wrong.sum())) // 64)
    batches = tuner.batches(dataclasses.replace(task, x_train=x), {"lambda": 5}, errors, steps)
    seen, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    rows = seen[:, 0].long()
    assert torch.equal(torch.bincount(rows), 1 + 4 * wrong.long())
    assert torch.equal(labels, task.y_train[rows])


def test_jtt_takes_the_nearest_where_hardly_any_is_wrong(task):
    """Of a target without errors the twentieth with the smallest margins counts, and a reason is given."""
    logits = F.one_hot(task.y_train, 10).float()
    mine = (task.y_train == 8).nonzero().flatten()
    logits[mine[-20:]] /= torch.arange(20, 0, -1)[:, None].flip(0)
    errors = JustTrainTwice().prepare(dataclasses.replace(task, logits_train=logits))
    count = -(-len(mine) // 20)
    assert torch.equal(errors.rows, mine[-count:])
    assert "only 0 training samples" in errors.reason


def test_camri_leaves_pruned_weights_at_zero(task):
    """What is zero in the output layer is zero after training, and the rest has moved."""
    model = copy.deepcopy(task.model)
    with torch.no_grad():
        model[5].weight[:, ::3] = 0
        hidden, logits = model[:5](task.x_train), model(task.x_train)
    thin = dataclasses.replace(task, model=model, logits_train=logits, hidden_train=hidden)
    thin = dataclasses.replace(thin, layer_of=torch.zeros(hidden.shape[1], dtype=torch.int64))
    weight = tuned(TUNERS["camri"], thin, TRAINED | {"margin": 0.2, "scale": 16.0})[5].weight
    assert torch.equal(weight == 0, model[5].weight == 0)


def test_the_soup_is_greedy_on_samples_that_no_ingredient_has_seen(task, monkeypatch):
    """From the best on the held-out tenth on, an ingredient goes in where it does not raise the loss there."""
    seen = []
    made = kitchen.ingredient

    def noted(task, schedule, rows, number):
        seen.append(rows)
        return made(task, schedule, rows, number)

    monkeypatch.setattr(kitchen, "ingredient", noted)
    soup = kitchen.Soup().prepare(task)
    held = torch.tensor(sorted(set(range(1200)) - set(seen[0].tolist())))
    assert len(seen) == 8
    assert len(held) == 120
    losses = [kitchen.cross_entropy(model, task, held) for model in soup]
    assert losses == sorted(losses)
    mixed = [kitchen.cross_entropy(kitchen.average(soup[: n + 1], task), task, held) for n in range(len(soup))]
    assert mixed == sorted(mixed, reverse=True)
    assert 1 < len(soup) <= 8


def test_the_soup_leaves_validation_alone(task):
    """Neither preparing nor mixing reads a validation sample, so that a certificate can stand on them."""
    shown = watched(task)
    tuner = TUNERS["soup"]
    tuner.tune(shown, {"n": 8}, tuner.prepare(shown))
    assert not was_touched(shown)
    assert len(shown.y_valid)
    assert was_touched(shown)
