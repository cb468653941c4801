"""Hidden activations as the tables that the SJ family reads."""

import torch
from torch import nn

from tunebench.networks.activations import activations, forward


def network():
    """Two hidden layers of 5 and 4 units, with dropout that eval mode has to switch off."""
    torch.manual_seed(0)
    parts = (nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Dropout(0.9), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    return nn.Sequential(*parts)


def test_tables_are_the_layers_outputs():
    """Columns are the units of all hidden layers, first layer first, and rows do not depend on the batch size."""
    model, x = network(), torch.randn(11, 2, 3)
    first = torch.relu(x.flatten(1) @ model[1].weight.T + model[1].bias)
    second = torch.relu(first @ model[4].weight.T + model[4].bias)
    for batch_size in (3, 11, 100):
        seen = activations(model.train(), x, batch_size)
        torch.testing.assert_close(seen.hidden, torch.cat([first, second], 1))
        torch.testing.assert_close(seen.logits, second @ model[6].weight.T + model[6].bias)
    assert seen.layer_of.tolist() == [0] * 5 + [1] * 4
    assert not seen.hidden.requires_grad
    assert not seen.logits.requires_grad


def test_a_network_without_hidden_units_has_an_empty_table():
    """A linear classifier gives (N, 0) activations and its logits."""
    model, x = nn.Linear(6, 3), torch.randn(4, 6)
    seen = activations(model, x)
    assert seen.hidden.shape == (4, 0)
    assert seen.layer_of.shape == (0,)
    assert torch.equal(seen.logits, model(x).detach())


def test_maps_are_averaged_over_space():
    """A convolutional layer has a unit per channel, the mean over its positions."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 5), nn.ReLU(), nn.Linear(5, 3))
    x = torch.randn(4, 1, 8, 8)
    seen = activations(model, x)
    assert seen.layer_of.tolist() == [0, 0] + [1] * 5
    torch.testing.assert_close(seen.hidden[:, :2], model[:2](x).mean((2, 3)).detach())


def test_forward_is_the_network_in_eval_mode():
    """Logits in batches, without gradients and without dropout."""
    model, x = network(), torch.randn(7, 6)
    logits = forward(model.train(), x, batch_size=2)
    assert not model.training
    assert not logits.requires_grad
    torch.testing.assert_close(logits, model(x).detach())
