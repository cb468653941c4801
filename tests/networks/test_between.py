"""Networks between two of one architecture: weight by weight, and nothing where the two do not fit."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tunebench import LogitEdit
from tunebench.networks.between import between, same_architecture
from tunebench.selection.interpolation import SHARES

X = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])


def linear(weight, bias):
    """A Linear layer with these numbers."""
    layer = nn.Linear(2, 2)
    layer.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    return layer


def test_by_hand():
    """A quarter of the way, and a half beyond, on a Linear network; neither end is changed."""
    original = linear([[0.0, 4.0], [8.0, 0.0]], [1.0, 1.0])
    tuned = linear([[4.0, 4.0], [0.0, 4.0]], [1.0, 5.0])
    quarter, beyond = between(original, tuned, 0.25), between(original, tuned, 1.5)
    assert quarter.weight.tolist() == [[1.0, 4.0], [6.0, 1.0]]
    assert quarter.bias.tolist() == [1.0, 2.0]
    assert beyond(X).tolist() == [[1 * 6 + 2 * 4 + 1, -4 + 2 * 6 + 7], [-6 + 2 + 1, 4 + 3 + 7]]
    assert original.weight[0, 0] == 0
    assert tuned.weight[0, 0] == 4
    assert between(original, tuned, 1) is tuned


@settings(deadline=None)
@given(st.sampled_from(SHARES), st.integers(0, 100))
def test_a_linear_network_moves_its_logits_alike(share, seed):
    """Between two linear networks the logits are between theirs, by the same share."""
    generator = torch.Generator().manual_seed(seed)
    ends = [linear(*(torch.randn(s, generator=generator).tolist() for s in ((2, 2), (2,)))) for _ in range(2)]
    first, last = (end(X) for end in ends)
    torch.testing.assert_close(between(*ends, share)(X), (1 - share) * first + share * last, rtol=1e-4, atol=1e-5)


def test_statistics_are_interpolated_and_counters_are_not():
    """Running mean and variance of a batch normalisation lie between; the number of batches is the tuned one's."""
    original, tuned = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    tuned.running_mean.fill_(4.0)
    tuned.running_var.fill_(3.0)
    tuned.num_batches_tracked.fill_(7)
    half = between(original, tuned, 0.5)
    assert (half.running_mean.item(), half.running_var.item(), half.num_batches_tracked.item()) == (2.0, 2.0, 7)
    assert not half.training


def test_an_edit_is_scaled():
    """Half of an addition to the logits is half of its weights and biases."""
    edit = LogitEdit(torch.ones(2, 3), torch.full((2,), 4.0))
    half = between(linear([[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0]), edit, 0.5)
    assert half.weight.unique().tolist() == [0.5]
    assert half.bias.tolist() == [2.0, 2.0]


class Noted(nn.Linear):
    """A Linear layer with a note in its state dict."""

    def get_extra_state(self):
        """No tensor."""
        return "a note"

    def set_extra_state(self, state):
        """Read it."""


OTHERS = {
    "another shape": (nn.Linear(2, 2), nn.Linear(2, 3)),
    "a layer more": (nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))),
    "a wrapper": (nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2))),
    "no bias": (nn.Linear(2, 2), nn.Linear(2, 2, bias=False)),
    "what is no tensor": (Noted(2, 2), Noted(2, 2)),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_does_not_fit(case):
    """Names and shapes of both state dicts have to be the same, and all of them tensors."""
    assert not same_architecture(*OTHERS[case])
    assert same_architecture(OTHERS["no bias"][0], copy.deepcopy(OTHERS["no bias"][0]))
