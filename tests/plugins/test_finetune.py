"""Fine-tuning rivals: losses against their formulas, and which weights may move."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
import tunebench_finetune
from digits import assert_keeps_the_rules, digits_task, target_recall, tuned
from torch import nn
from tunebench_finetune.last_layer import last_hidden, oversampled_rows
from tunebench_finetune.losses import class_weighted
from tunebench_finetune.schedule import Schedule

from tunebench.networks.training import minibatches

TUNERS = {tuner.name: tuner for tuner in tunebench_finetune.tunebench_tuners()}
PARAMS = {
    "lambda": 4,
    "target_weight": 4.0,
    "tau": 1.0,
    "delta": 0.7,
    "iota": -1.0,
    "eta": 0.03,
    "margin": 0.2,
    "scale": 16.0,
    "n": 3,
    "rate": 4.0,
    "l2": 1e-4,
    "lr_multiplier": 1.0,
    "weight_decay": 0.01,
    "optimiser": "sgd",
    "effort": 60 / 95,
}
"""60 of the 95 steps that five epochs of the digits are."""


@pytest.fixture(scope="session")
def task():
    """Digit 8 on a small under-trained network."""
    return digits_task()


@pytest.mark.parametrize("name", TUNERS)
def test_fine_tuning_keeps_the_rules(task, name):
    """Each member returns a deterministic tuned copy of the network and touches nothing else."""
    assert TUNERS[name].skip(task) is None
    assert_keeps_the_rules(TUNERS[name], task, PARAMS)


@pytest.mark.parametrize("name", TUNERS)
def test_the_seed_decides_the_batches(task, name):
    """Another task seed gives another network: the order of the batches comes from it."""
    other = tuned(TUNERS[name], dataclasses.replace(task, seed=12), PARAMS)
    assert not torch.equal(tuned(TUNERS[name], task, PARAMS)(task.x_valid), other(task.x_valid))


@pytest.mark.parametrize("targets", [(8,), (8, 3)])
@pytest.mark.parametrize(
    ("name", "parameter", "low", "high"),
    [
        ("weighted-finetune", "lambda", 1.0, 20.0),
        ("logit-adjustment", "tau", 0.0, 2.0),
        ("dwb-loss", "target_weight", 1.0, 20.0),
        ("vs-loss", "delta", 1.0, 0.7),
        ("vs-loss", "iota", 0.0, -2.3),
        ("camri", "margin", 0.0, 0.5),
        ("jtt", "lambda", 1, 100),
        ("last-layer", "rate", 1.0, 20.0),
    ],
)
def test_more_preference_raises_the_targets(task, name, parameter, low, high, targets):
    """Each member's own hyperparameter buys more of the samples of its targets, one or several."""
    task = dataclasses.replace(task, targets=targets)
    base = PARAMS | {"delta": 1.0, "iota": 0.0, "lambda": 1}
    less, more = (target_recall(tuned(TUNERS[name], task, base | {parameter: value}), task) for value in (low, high))
    assert more > less


def test_without_preference_it_is_continue_training(task):
    """tau = 0 equals continued training bit for bit, and lambda = 1 within rounding."""
    plain = tuned(TUNERS["continue-training"], task, PARAMS)(task.x_valid)
    adjusted = tuned(TUNERS["logit-adjustment"], task, PARAMS | {"tau": 0.0})(task.x_valid)
    weighted = tuned(TUNERS["weighted-finetune"], task, PARAMS | {"lambda": 1.0})(task.x_valid)
    assert torch.equal(plain, adjusted)
    torch.testing.assert_close(plain, weighted, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(plain, task.logits_valid, atol=1e-2)


def test_continue_training_is_the_textbook_loop(task):
    """Steps and step size are those of the parameters: the result is that of autograd and torch's own SGD."""
    model = copy.deepcopy(task.model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5 * task.learning_rate)
    for x, y in minibatches(task.x_train, task.y_train, 30, task.seed):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    mine = tuned(TUNERS["continue-training"], task, {"lr_multiplier": 0.5, "effort": 30 / 95})
    torch.testing.assert_close(mine(task.x_valid), model(task.x_valid), rtol=1e-3, atol=1e-4)


def literal_adamw(task, loss, lr, steps, **options):
    """A copy of the network after torch's own AdamW and one-cycle schedule under autograd."""
    model = copy.deepcopy(task.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, **options)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, cycle_momentum=False)
    for x, y in minibatches(task.x_train, task.y_train, steps, task.seed):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
        cycle.step()
    return model


def test_retrain_is_adamw_with_one_cycle(task):
    """Without preference, step size as a multiple of 0.001, the schedule as long as the trial."""
    expected = literal_adamw(task, F.cross_entropy, 2e-3, 38, weight_decay=0.05)
    mine = tuned(TUNERS["retrain"], task, {"lr_multiplier": 2.0, "effort": 0.4, "weight_decay": 0.05})
    torch.testing.assert_close(mine(task.x_valid), expected(task.x_valid), rtol=1e-3, atol=1e-4)


def test_the_optimiser_is_a_choice(task):
    """Under adamw another fine-tuner is what torch makes of its loss, and nothing of plain SGD."""
    loss = class_weighted(task, PARAMS)
    mine = tuned(TUNERS["weighted-finetune"], task, PARAMS | {"optimiser": "adamw"})(task.x_valid)
    expected = literal_adamw(task, lambda *given: loss(*given), 1e-3, 60, weight_decay=0.0)(task.x_valid)
    torch.testing.assert_close(mine, expected, rtol=0, atol=0.05)  # steps of equal size also where gradients are noise
    assert not torch.allclose(mine, tuned(TUNERS["weighted-finetune"], task, PARAMS)(task.x_valid), atol=0.5)


def test_all_share_one_schedule():
    """The same efforts for all; controls have one optimiser each, every other tuner both."""
    spaces = {name: tuner.search_space() for name, tuner in TUNERS.items() if name != "soup"}
    assert {(space["effort"].low, space["effort"].high) for space in spaces.values()} == {(0.25, 1.0)}
    assert {name for name, space in spaces.items() if "optimiser" not in space} == {"continue-training", "retrain"}
    assert all(s["optimiser"].choices == ("sgd", "adamw") for s in spaces.values() if "optimiser" in s)


def test_an_effort_is_a_share_of_the_steps_allowed(task):
    """The whole of it is five epochs, or what the task allows; the least share of few steps is one step."""
    few = dataclasses.replace(task, y_train=task.y_train[:3])
    schedule = Schedule()
    assert schedule.optimiser(few, PARAMS | {"effort": 0.025}).steps == 1
    assert schedule.optimiser(task, PARAMS | {"effort": 1.0}).steps == 95
    assert schedule.optimiser(dataclasses.replace(task, max_steps=40), PARAMS | {"effort": 0.5}).steps == 20


def test_a_step_too_large_gives_the_original(task):
    """A diverging trial returns the network unchanged, finite, instead of failing the cell."""
    for tuner in (tuner for name, tuner in TUNERS.items() if name not in ("camri", "soup")):
        for optimiser in tuner.schedule.optimisers:
            huge = PARAMS | {"optimiser": optimiser, "lr_multiplier": 1e38}
            assert torch.equal(tuned(tuner, task, huge)(task.x_valid), task.model(task.x_valid))


def test_last_layer_moves_the_output_layer_alone(task):
    """All other layers are bitwise as before, and the output layer has moved, weight and bias."""
    model = tuned(TUNERS["last-layer"], task, PARAMS)
    for name, value in model.state_dict().items():
        assert torch.equal(value, task.model.state_dict()[name]) != name.startswith("5.")


def test_last_layer_is_sgd_on_cached_features(task):
    """The output layer is that of autograd and torch's own SGD, with L2, on the oversampled batches."""
    head = copy.deepcopy(task.model[5])
    optimizer = torch.optim.SGD(head.parameters(), lr=task.learning_rate, weight_decay=0.01)
    features = task.hidden_train[:, 32:]
    for rows in oversampled_rows(task.y_train, (8,), 4.0, 60, task.seed):
        optimizer.zero_grad()
        F.cross_entropy(head(features[rows]), task.y_train[rows]).backward()
        optimizer.step()
    model = tuned(TUNERS["last-layer"], task, PARAMS | {"l2": 0.01})
    torch.testing.assert_close(model[5].weight, head.weight, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(model[5].bias, head.bias, rtol=1e-3, atol=1e-5)


def test_oversampling_draws_targets_at_their_rate():
    """Targets make up rate * N_target of rate * N_target + N_other draws, in batches of 64."""
    y = torch.arange(10).repeat(30)
    batches = list(oversampled_rows(y, (8, 3), 6.0, 500, seed=0))
    assert [len(rows) for rows in batches] == [64] * 500
    labels = y[torch.cat(batches)]
    share = float(((labels == 8) | (labels == 3)).double().mean())
    assert share == pytest.approx(12 / 20, abs=0.01)
    assert torch.equal(torch.cat(batches), torch.cat(list(oversampled_rows(y, (8, 3), 6.0, 500, seed=0))))
    assert not torch.equal(torch.cat(batches), torch.cat(list(oversampled_rows(y, (8, 3), 6.0, 500, seed=1))))


def test_last_hidden_takes_the_last_layer_only(task):
    """Of 32 + 16 hidden units the 16 of the second layer are the features."""
    assert torch.equal(last_hidden(task), task.hidden_train[:, 32:])


def without_hidden(task):
    """The task as the host gives it for a network without hidden layers."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nothing = {"hidden_train": task.hidden_train[:, :0], "layer_of": task.layer_of[:0]}
    return dataclasses.replace(task, model=model, **nothing)


def test_last_layer_skips_other_heads(task):
    """An output layer that is not Linear, not fed by the cached units, or of another width: a reason each."""
    tuner = TUNERS["last-layer"]
    conv = dataclasses.replace(task, model=nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten()))
    assert "no Linear layer" in tuner.skip(conv)
    assert "not fed" in tuner.skip(without_hidden(task))
    scaled = dataclasses.replace(task, hidden_train=task.hidden_train * 2)
    assert "not fed" in tuner.skip(scaled)
    wide = dataclasses.replace(task, layer_of=torch.zeros(48, dtype=torch.int64))
    assert "not fed" in tuner.skip(wide)


def test_networks_that_are_no_plain_stack_are_fine_tuned_too(task):
    """A convolution with batch normalisation and dropout keeps the same rules under every loss."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Flatten(),
            nn.Linear(144, 10),
        ).eval()
    conv = dataclasses.replace(task, model=model)
    for name in ("continue-training", "weighted-finetune", "logit-adjustment", "dwb-loss"):
        assert_keeps_the_rules(TUNERS[name], conv, PARAMS | {"effort": 5 / 95})
