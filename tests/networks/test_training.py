"""The training loop: batches, and hand-written gradients against autograd."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small_stack import distance, samples, stack
from torch import nn
from torch.nn.utils import prune

from tunebench.networks.losses import CrossEntropy
from tunebench.networks.stacks import linear_stack
from tunebench.networks.training import Optimiser, minibatches, sgd, train


def train_literally(model, batches, loss, optimizer, cycle=None):
    """The textbook loop with autograd, torch's own optimiser and, if any, its schedule."""
    for x, y in batches:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
        if cycle is not None:
            cycle.step()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("weight", [None, (1.0, 5.0, 1.0, 0.5)])
def test_hand_written_steps_follow_autograd(dtype, tolerance, weight_decay, weight):
    """Over 300 steps the hand-written gradients lead where autograd and torch.optim.SGD lead."""
    x, y = samples(dtype)
    loss = CrossEntropy(None if weight is None else torch.tensor(weight, dtype=dtype))
    mine, theirs, start = stack(dtype), stack(dtype), stack(dtype)
    sgd(mine, minibatches(x, y, 300, seed=5), loss, 0.1, weight_decay=weight_decay)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, weight_decay=weight_decay)
    train_literally(theirs, minibatches(x, y, 300, seed=5), lambda *given: loss(*given), optimizer)
    assert distance(mine, start) > 0.1
    assert distance(mine, theirs) < tolerance


def conv():
    """A network that is no plain stack."""
    with torch.random.fork_rng():
        torch.manual_seed(6)
        return nn.Sequential(nn.Conv1d(3, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 4)).double()


@pytest.mark.parametrize("make", [stack, conv])
@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sgd", {"momentum": 0.9, "weight_decay": 0.01}),
        ("sgd", {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
        ("sgd", {"weight_decay": 0.01}),
        ("adamw", {"weight_decay": 0.1}),
    ],
)
def test_optimisers_are_torchs_own(make, schedule, name, options):
    """Every optimiser and schedule leads where torch's leads under autograd: a stack nearly, others bit for bit."""
    x, y = samples()
    mine, theirs, start = make(), make(), make()
    chosen = Optimiser(0.02, name, schedule, 120, **options)
    train(mine, minibatches(x, y, 120, 0), F.cross_entropy, chosen)
    optimizer = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[name](theirs.parameters(), lr=0.02, **options)
    cycle = None
    if schedule == "one-cycle":
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, 120, cycle_momentum=False)
    train_literally(theirs, minibatches(x, y, 120, 0), F.cross_entropy, optimizer, cycle)
    assert distance(mine, start) > 0.01
    assert distance(mine, theirs) <= (1e-10 if make is stack else 0)
    assert all(parameter.grad is None for parameter in mine.parameters())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "adam"}, "no optimiser 'adam'"),
        ({"schedule": "cosine"}, "schedule 'cosine'"),
        ({"schedule": "one-cycle"}, "needs its number of steps"),
        ({"name": "adamw", "momentum": 0.9}, "adamw has no momentum"),
        ({"nesterov": True}, "there is none"),
    ],
)
def test_an_optimiser_that_makes_no_sense_is_refused(fields, message):
    """Unknown names and fields that do not go together are a ValueError before any step."""
    with pytest.raises(ValueError, match=message):
        Optimiser(0.1, **fields)


class Maps(nn.Module):
    """A convolution whose maps are flattened, by a view that only one layout of them has or by a copy."""

    def __init__(self, views):
        super().__init__()
        torch.manual_seed(7)
        self.body, self.head, self.views, self.seen = nn.Conv2d(3, 4, 3), nn.Linear(144, 5), views, set()

    def forward(self, x):
        """Logits (N, 5)."""
        maps = self.body(x).relu()
        self.seen.add(maps.is_contiguous(memory_format=torch.channels_last))
        return self.head(maps.view(len(x), -1) if self.views else maps.flatten(1))


@pytest.mark.parametrize("views", [False, True])
def test_images_are_laid_out_channels_last_where_a_network_takes_that(views):
    """Steps lead where the textbook's lead in either layout, and the weights end as they lay before."""
    x, y = torch.randn(40, 3, 8, 8), torch.arange(40) % 5
    mine, theirs = Maps(views), Maps(views)
    train(mine, minibatches(x, y, 12, 0, 10), F.cross_entropy, Optimiser(0.05, momentum=0.9))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    train_literally(theirs, minibatches(x, y, 12, 0, 10), F.cross_entropy, optimizer)
    assert distance(mine, theirs) < 1e-5
    assert distance(mine, Maps(views)) > 1e-2
    assert (False in mine.seen) == views
    assert mine.body.weight.is_contiguous()


def test_pruned_weights_can_be_held_at_zero_under_adamw():
    """The network's own parameters change at every step: what a loop sets to zero between two steps stays there."""
    x, y = samples()
    model, start = stack(), stack()

    def held(batches):
        for batch in batches:
            yield batch
            with torch.no_grad():
                model[1].weight[:4] = 0

    train(model, held(minibatches(x, y, 30, 0)), F.cross_entropy, Optimiser(0.01, "adamw"))
    assert not model[1].weight[:4].any()
    assert distance(model, start) > 0.01


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
    train_literally(theirs, minibatches(x, y, 10, 0), F.cross_entropy, torch.optim.SGD(theirs.parameters(), lr=0.1))
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
