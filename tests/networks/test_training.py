"""The training loop: batches, hand-written gradients against autograd, and fine-tuning."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from tunebench.networks.training import fine_tune, linear_stack, minibatches, sgd, stack_step


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def stack(dtype=torch.float64):
    """A plain stack of Linear and ReLU with fixed weights."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        parts = (nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 4))
        return nn.Sequential(*parts).to(dtype)


def samples(dtype=torch.float64, count=150):
    """Random inputs (count, 3, 4) whose labels a linear map decides, so that there is something to learn."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(count, 3, 4, generator=generator, dtype=dtype)
    return x, (x.flatten(1) @ torch.randn(12, 4, generator=generator, dtype=dtype)).argmax(1)


def train_literally(model, batches, loss, **options):
    """The textbook loop with autograd and torch's own optimiser."""
    optimizer = torch.optim.SGD(model.parameters(), **options)
    for x, y in batches:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()


def distance(a, b):
    """The largest difference between the parameters of two networks."""
    return max(float((p - q).detach().abs().max()) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("weight", [None, (1.0, 5.0, 1.0, 0.5)])
def test_hand_written_steps_follow_autograd(dtype, tolerance, weight_decay, weight):
    """Over 300 steps the hand-written gradients lead where autograd and torch.optim.SGD lead."""
    x, y = samples(dtype)
    weight = None if weight is None else torch.tensor(weight, dtype=dtype)
    mine, theirs, start = stack(dtype), stack(dtype), stack(dtype)

    def loss(logits, labels):
        return F.cross_entropy(logits, labels, weight=weight)

    layers = linear_stack(mine)
    for batch_x, batch_y in minibatches(x, y, 300, seed=5):
        stack_step(layers, batch_x, batch_y, loss, 0.1, weight_decay)
    train_literally(theirs, minibatches(x, y, 300, seed=5), loss, lr=0.1, weight_decay=weight_decay)
    assert distance(mine, start) > 0.1
    assert distance(mine, theirs) < tolerance


def test_momentum_and_other_networks_take_autograd():
    """With momentum, or with a convolution, sgd equals the textbook loop bit for bit."""
    x, y = samples()
    with torch.random.fork_rng():
        torch.manual_seed(6)
        conv = nn.Sequential(nn.Conv1d(3, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 4)).double()
    for model, momentum in ((stack(), 0.9), (conv, 0.0)):
        theirs, start = copy.deepcopy(model), copy.deepcopy(model)
        sgd(model, minibatches(x, y, 20, 0), F.cross_entropy, 0.1, momentum=momentum, weight_decay=0.01)
        train_literally(theirs, minibatches(x, y, 20, 0), F.cross_entropy, lr=0.1, momentum=momentum, weight_decay=0.01)
        assert distance(model, start) > 0
        assert distance(model, theirs) == 0


def frozen():
    """A stack with one frozen bias."""
    model = stack()
    model[1].bias.requires_grad_(False)
    return model


def tied():
    """A stack in which one layer appears twice."""
    layer = nn.Linear(9, 9)
    return nn.Sequential(layer, nn.ReLU(), layer)


def pruned():
    """A stack whose weight is computed from a mask at every forward pass."""
    model = stack()
    prune.l1_unstructured(model[1], "weight", amount=0.5)
    return model


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(3, 2),
        nn.Sequential(nn.Linear(3, 2, bias=False)),
        nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
        nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)),
        nn.Sequential(),
        frozen(),
        tied(),
        pruned(),
    ],
    ids=repr,
)
def test_only_plain_stacks_take_the_hand_written_path(model):
    """A network with anything but free, separate Linear layers and ReLUs between them is left to autograd."""
    assert linear_stack(stack()) is not None
    assert linear_stack(model) is None


def test_a_pruned_network_trains_as_under_autograd():
    """sgd moves the weights behind a mask of torch's own pruning, and the masked ones stay away."""
    x, y = samples()
    mine, theirs = pruned(), pruned()
    sgd(mine, minibatches(x, y, 10, 0), F.cross_entropy, 0.1)
    train_literally(theirs, minibatches(x, y, 10, 0), F.cross_entropy, lr=0.1)
    assert torch.equal(mine(x), theirs(x))
    assert not torch.equal(mine[1].weight_orig, pruned()[1].weight_orig)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 50), batch_size=st.integers(1, 60), epochs=st.integers(1, 3), seed=st.integers(0, 9))
def test_every_epoch_of_batches_holds_each_sample_once(count, batch_size, epochs, seed):
    """Within each epoch every row comes exactly once, inputs stay with their labels, and batches are full."""
    x, y = torch.arange(count, dtype=torch.float32)[:, None] * 2, torch.arange(count)
    per_epoch = -(-count // batch_size)
    batches = list(minibatches(x, y, epochs * per_epoch, seed, batch_size))
    assert all(torch.equal(batch_x[:, 0], batch_y * 2.0) for batch_x, batch_y in batches)
    for epoch in range(epochs):
        part = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(torch.cat([batch_y for _, batch_y in part]).tolist()) == list(range(count))
        assert all(len(batch_y) == batch_size for _, batch_y in part[:-1])


def test_batches_come_in_the_asked_number():
    """Exactly ``steps`` batches come, also in the middle of an epoch, and none for 0."""
    x, y = samples()
    assert [sum(1 for _ in minibatches(x, y, steps, 0)) for steps in (0, 1, 2, 3, 4, 10)] == [
        0,
        1,
        2,
        3,
        4,
        10,
    ]


def test_batches_depend_on_the_seed_alone():
    """The same seed gives the same order, another seed another one, whatever the global generator is at."""
    x, y = torch.zeros(100, 1), torch.arange(100)

    def order(seed):
        return torch.cat([labels for _, labels in minibatches(x, y, 4, seed)])

    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = order(7)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(first, order(7))
    assert not torch.equal(first, order(8))
    assert not torch.equal(first[:64], order(7)[100:164])


def dropout():
    """A network that draws random numbers while it trains."""
    with torch.random.fork_rng():
        torch.manual_seed(8)
        parts = (nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, 4))
        return nn.Sequential(*parts).double().eval()


@pytest.mark.parametrize("make", [stack, dropout])
def test_fine_tuning_depends_on_its_seed_and_leaves_the_generator_alone(make):
    """Random layers draw from the seed given, and the global generator is as it was."""
    x, y = samples()

    def result(seed):
        model = make()
        fine_tune(model, minibatches(x, y, 5, 0), F.cross_entropy, 0.1, seed)
        return model

    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = result(3)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert distance(first, result(3)) == 0
    assert (distance(first, result(4)) > 0) == (make is dropout)
    assert not any(part.training for part in first.modules())
    assert all(parameter.grad is None for parameter in first.parameters())


def test_fine_tuning_equals_sgd_with_weight_decay():
    """On a plain stack fine_tune is sgd, with the same step size and L2 penalty."""
    x, y = samples()
    mine, theirs = stack(), stack()
    fine_tune(mine, minibatches(x, y, 20, 0), F.cross_entropy, 0.1, 0, weight_decay=0.05)
    sgd(theirs, minibatches(x, y, 20, 0), F.cross_entropy, 0.1, weight_decay=0.05)
    assert distance(mine, theirs) == 0


def test_fine_tuning_moves_frozen_parameters():
    """A network that was frozen after training is trained on all the same."""
    x, y = samples()
    model = stack().requires_grad_(False)
    fine_tune(model, minibatches(x, y, 5, 0), F.cross_entropy, 0.1, 0)
    assert all(not torch.equal(p, q) for p, q in zip(model.parameters(), stack().parameters(), strict=True))


def test_diverged_fine_tuning_puts_the_weights_back():
    """After steps that end in NaN or infinity the network is what it was."""
    x, y = samples(torch.float32)
    model = stack(torch.float32)
    sgd(model, minibatches(x, y, 50, 0), F.cross_entropy, 1e20)
    assert not all(bool(parameter.isfinite().all()) for parameter in model.parameters())
    model = stack(torch.float32)
    fine_tune(model, minibatches(x, y, 50, 0), F.cross_entropy, 1e20, 0)
    assert distance(model, stack(torch.float32)) == 0
