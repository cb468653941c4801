"""A LogitEdit scored, folded and wrapped: always the same logits."""

import pytest
import torch
from torch import nn

from tunebench import InvalidOutput, LogitEdit
from tunebench.networks.activations import activations, forward
from tunebench.networks.edits import EditedModel, ShiftedModel, agree, check_edit, edited_logits, fold, terms_of
from tunebench.networks.models import mlp
from tunebench.networks.sites import survey
from tunebench.networks.stacks import linear_stack

CLASSES = 6
X = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(1))


def network(widths):
    """A random network for (N, 3, 4) inputs."""
    torch.manual_seed(0)
    return mlp(widths, (3, 4), CLASSES).eval()


def random_edit(hidden, share=0.3, rows=(2,), seed=0):
    """An edit of some rows with a share of its weights non-zero."""
    generator = torch.Generator().manual_seed(seed)
    edit = LogitEdit(torch.zeros(CLASSES, hidden), torch.zeros(CLASSES))
    for row in rows:
        chosen = torch.rand(hidden, generator=generator) < share
        edit.weight[row, chosen] = torch.randn(int(chosen.sum()), generator=generator)
        edit.bias[row] = torch.randn((), generator=generator)
    return edit


def definition(model, edit, x=X):
    """The edit's definition, in float64: logits + hidden @ weight.T + bias."""
    seen = activations(model, x)
    return seen.logits.double() + seen.hidden.double() @ edit.weight.double().T + edit.bias.double()


def assert_close(logits, expected):
    """Equal to 1e-5 of the largest logit."""
    torch.testing.assert_close(logits.double(), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("widths", [(7,), (9, 5), (8, 8), (12, 9, 6), (5, 7, 6, 8)], ids=str)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rows", [(2,), (0, 3, 5)], ids=str)
def test_a_folded_network_is_plain_and_has_the_edited_logits(widths, share, rows):
    """Folding gives a plain stack of Linear and ReLU with the logits that define the edit."""
    model, edit = network(widths), random_edit(sum(widths), share, rows)
    folded = fold(model, edit, survey(model, (3, 4)))
    assert linear_stack(folded) is not None
    assert not folded.training
    assert_close(forward(folded, X), definition(model, edit))
    seen = activations(model, X)
    assert_close(edited_logits(edit, seen.hidden, seen.logits), definition(model, edit))


def test_folding_twice_adds_up():
    """A folded network can be edited and folded again."""
    model, first = network((6, 5)), random_edit(11)
    once = fold(model, first, survey(model, (3, 4)))
    seen = activations(once, X)
    second = random_edit(seen.hidden.shape[1], rows=(1, 2), seed=5)
    assert_close(forward(fold(once, second, survey(once, (3, 4))), X), definition(once, second))


def test_folding_leaves_the_original_alone():
    """Neither the network nor the global random state changes, and nothing is shared with the result."""
    model, edit = network((6, 5)), random_edit(11, 1.0)
    before, state = [p.detach().clone() for p in model.parameters()], torch.get_rng_state()
    folded = fold(model, edit, survey(model, (3, 4)))
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert float(edit.weight.abs().sum()) > 0


class Residual(nn.Module):
    """A network that is no plain stack; its head is registered before its body."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head, self.body, self.relu = nn.Linear(12, CLASSES), nn.Linear(12, 12), nn.ReLU()

    def forward(self, x):
        """Logits (N, C)."""
        x = x.flatten(1)
        return self.head(x + self.relu(self.body(x)))


def edited():
    """A network with an edit around it."""
    model = network((6, 5))
    return EditedModel(model, random_edit(11, seed=3), survey(model, (3, 4)).sites).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("base", ["residual", "edited"])
def test_any_other_network_is_wrapped(base, dtype):
    """A network that cannot be folded computes the edit on top, also an edit of another precision."""
    model = Residual().eval() if base == "residual" else edited()
    edit = random_edit(activations(model, X).hidden.shape[1], rows=(1, 4))
    wrapped = fold(model, LogitEdit(edit.weight.to(dtype), edit.bias.to(dtype)), survey(model, (3, 4)))
    assert isinstance(wrapped, EditedModel)
    assert_close(forward(wrapped, X), definition(model, edit))


def test_rows_without_an_edit_are_bitwise_the_same():
    """Scoring an edit does not touch the other classes' logits."""
    model, edit = network((6, 5)), random_edit(11)
    seen = activations(model, X)
    out = edited_logits(edit, seen.hidden, seen.logits)
    others = [c for c in range(CLASSES) if c != 2]
    assert torch.equal(out[:, others], seen.logits[:, others])
    assert not torch.equal(out[:, 2], seen.logits[:, 2])


def test_a_shifted_network_adds_a_constant():
    """Any network plus a constant on its logits, and the network itself as it was."""
    model, shift = Residual().eval(), torch.tensor([0.0, 2.0, 0.0, 0.0, -1.0, 0.0])
    before = forward(model, X)
    assert torch.equal(forward(ShiftedModel(model, shift), X), before + shift)
    assert torch.equal(forward(model, X), before)


@pytest.mark.parametrize(
    ("weight", "bias", "fault"),
    [
        (torch.zeros(6, 10), torch.zeros(6), r"weight has shape \(6, 10\), expected \(6, 11\)"),
        (torch.zeros(6, 11), torch.zeros(5), r"bias has shape \(5,\), expected \(6,\)"),
        (torch.zeros(6, 11, dtype=torch.int64), torch.zeros(6), "weight is not a floating point tensor"),
        (torch.zeros(6, 11), [0.0] * 6, "bias is not a floating point tensor"),
        (torch.full((6, 11), torch.nan), torch.zeros(6), "weight is not finite"),
        (torch.zeros(6, 11), torch.full((6,), torch.inf), "bias is not finite"),
    ],
)
def test_an_edit_that_cannot_be_scored_says_why(weight, bias, fault):
    """Shapes, types and values are checked, each fault in its own words."""
    with pytest.raises(InvalidOutput, match=fault):
        check_edit(LogitEdit(weight, bias), 6, 11)


@pytest.fixture
def cancelling():
    """A network and an edit whose terms of 1e5 cancel to logits of 1, and so leave float32 no third decimal."""
    model, edit = network((8, 6)), random_edit(14, 1.0)
    with torch.no_grad():  # the units of the last layer stand far from zero and hardly vary
        model[-3].bias += 1000
    edit.weight[2, 8:] = torch.tensor([100.0, -100, 70, -70, 30, -30])
    return model, edit


def test_a_difference_that_is_rounding_is_none(cancelling):
    """Where large terms cancel, the folded network may differ by as much as they are rounded."""
    model, edit = cancelling
    seen, anatomy = activations(model, X), survey(model, (3, 4))
    logits, terms = (of(edit, seen.hidden, seen.logits) for of in (edited_logits, terms_of))
    folded = forward(fold(model, edit, anatomy), X)
    exact = seen.logits.double() + seen.hidden.double() @ edit.weight.double().T + edit.bias.double()
    assert float(terms.max()) > 1e5
    assert float((folded - exact).abs().max()) > 1e-3
    assert agree(folded, logits, model, terms)
    assert agree(folded, exact.float(), model, terms)


def test_a_difference_that_is_a_fault_is_one(cancelling):
    """Large terms hide no weight that is off by a thousandth, and no bias of the other rows."""
    model, edit = cancelling
    seen, anatomy = activations(model, X), survey(model, (3, 4))
    logits, terms = (of(edit, seen.hidden, seen.logits) for of in (edited_logits, terms_of))
    wrong = LogitEdit(edit.weight.clone(), edit.bias)
    wrong.weight[2, 8] *= 1.001
    assert not agree(forward(fold(model, wrong, anatomy), X), logits, model, terms)
    shifted = LogitEdit(edit.weight, edit.bias + 1)
    assert not agree(forward(fold(model, shifted, anatomy), X), logits, model, terms)


def test_terms_are_what_is_added_up():
    """Magnitudes of the logit, of every product and of the bias."""
    edit = LogitEdit(torch.tensor([[2.0, -3.0], [0.0, 0.0]]), torch.tensor([-1.0, 0.0]))
    found = terms_of(edit, torch.tensor([[5.0, -7.0]]), torch.tensor([[-4.0, 9.0]]))
    assert torch.equal(found, torch.tensor([[4.0 + 10 + 21 + 1, 9.0]]))
