"""Where hidden units of any network are read, and what its output layer is."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from zoo import ZOO, LeNet, adapted

from tunebench import UsageError
from tunebench.networks.activations import activations, forward
from tunebench.networks.probe import built
from tunebench.networks.sites import ACTIVATIONS, BATCH_BYTES, OutputLayer, survey


class Calls(nn.Module):
    """A network of one hidden layer whose activation function is ``function``."""

    def __init__(self, function, positive=False):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.function = nn.Linear(6, 5), nn.Linear(5, 3), function

    def forward(self, x):
        """Logits (N, 3)."""
        return self.head(2 * self.function(self.body(x)))


@pytest.mark.parametrize(
    "function",
    [
        nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(), nn.ELU(), nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.Mish(),
        nn.Softplus(), nn.Tanh(), nn.Sigmoid(), F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardswish,
        F.mish, F.softplus, torch.tanh, torch.sigmoid, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_,
        torch.Tensor.tanh, torch.Tensor.sigmoid_, F.tanh, F.hardtanh, F.selu,
    ],
    ids=lambda function: getattr(function, "__name__", str(function)),
)  # fmt: skip
def test_every_way_to_call_an_activation_function_is_one_site(function):
    """Modules, functions and tensor methods, in place or not, are seen once each, also where one calls another."""
    model = Calls(function).eval()
    x = torch.randn(7, 6)
    anatomy = survey(model, (6,))
    assert [(site.head, site.units) for site in anatomy.sites] == [(False, 5), (True, 5)]
    with torch.no_grad():
        expected = function(model.body(x))
    torch.testing.assert_close(activations(model, x).hidden, torch.cat([expected, 2 * expected], 1))


def test_known_functions():
    """The functions that docs/methods.md names are there."""
    assert {F.relu, F.gelu, F.hardswish, torch.tanh, torch.Tensor.sigmoid, F.softplus, F.mish} <= ACTIVATIONS


@pytest.mark.parametrize(
    ("name", "sites", "units"),
    [("mobilenet_v2", 35, 15_552), ("shufflenet_v2_x0_5", 37, 2_944), ("resnet18", 17, 3_904)],
)
def test_networks_with_counted_sites(name, sites, units):
    """Published architectures have as many activation functions and channels as counted elsewhere by hand.

    The last of them feeds the output layer, and counts once.
    """
    anatomy = survey(adapted(name, 1, 10), (1, 32, 32), max_hidden=100_000)
    assert (len(anatomy.sites), anatomy.hidden) == (sites, units)
    assert anatomy.sites[-1].head


def test_units_are_counted_from_the_output_back():
    """Sites are taken whole while they fit; the output layer's input in any case."""
    model = LeNet(1, 28, 10)
    assert [s.units for s in survey(model, (1, 28, 28)).sites] == [6, 16, 120, 84]
    assert [s.units for s in survey(model, (1, 28, 28), 210).sites] == [120, 84]
    assert [s.units for s in survey(model, (1, 28, 28), 5).sites] == [84]
    assert survey(model, (1, 28, 28), 210).layer_of.tolist() == [0] * 120 + [1] * 84


class Tokens(nn.Module):
    """Rows as tokens (N, T, D), their features last; the output layer sees their mean."""

    def __init__(self, flat=False):
        super().__init__()
        self.body, self.head, self.flat = nn.Linear(8, 5), nn.Linear(5, 3), flat

    def forward(self, x):
        """Logits (N, 3)."""
        x = x[:, 0]
        if self.flat:
            return self.head(F.gelu(self.body(x.reshape(-1, 8))).view(len(x), -1, 5).mean(1))
        return self.head(F.gelu(self.body(x))).mean(1)


def test_tokens_are_averaged_and_rows_of_another_count_are_none():
    """(N, T, D) gives D units; (N * T, D) has no sample first, so only the output layer's input is a site."""
    x = torch.randn(4, 1, 8, 8)
    model = Tokens()
    seen = activations(model, x)
    torch.testing.assert_close(seen.hidden, F.gelu(model.body(x[:, 0])).mean(1).detach())
    assert survey(model, (1, 8, 8)).output == OutputLayer("head.weight", "head.bias")
    assert [(s.head, s.units) for s in survey(Tokens(flat=True), (1, 8, 8)).sites] == [(True, 5)]


class FeaturesLast(nn.Module):
    """A map that came out of a Linear layer, as in ConvNeXt: (N, H, W, D)."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(3, 7), nn.Linear(7, 2)

    def forward(self, x):
        """Logits (N, 2)."""
        return self.head(F.relu(self.body(x.permute(0, 2, 3, 1))).amax((1, 2)))


def test_a_map_out_of_a_linear_layer_has_its_features_last():
    """Its units are the last axis, averaged over the others."""
    x = torch.randn(5, 3, 4, 4)
    model = FeaturesLast()
    expected = F.relu(model.body(x.permute(0, 2, 3, 1))).mean((1, 2)).detach()
    torch.testing.assert_close(activations(model, x).hidden[:, :7], expected)


def test_a_shared_module_counts_each_time():
    """A module that fires twice in a forward is two sites."""
    model = Calls(nn.ReLU())
    model.function = nn.Sequential(relu := nn.ReLU(), nn.Linear(5, 5), relu)
    assert len(survey(model, (6,)).sites) == 3


@pytest.mark.parametrize(
    ("change", "output"),
    [
        (lambda m: None, True),
        (lambda m: nn.utils.parametrizations.weight_norm(m.head), False),
        (lambda m: setattr(m.head, "weight", m.body.weight), False),
        (lambda m: setattr(m, "forward", lambda x, f=m.forward: f(x).log_softmax(1)), False),
        (lambda m: setattr(m, "forward", lambda x, f=m.forward: 2 * f(x)), False),
    ],
    ids=["plain", "weight-norm", "tied", "log-softmax", "scaled"],
)
def test_an_output_layer_is_only_what_can_be_edited(change, output):
    """Computed and shared weights, and logits that are changed afterwards, have no output layer to edit."""
    torch.manual_seed(0)
    model = Calls(nn.ReLU())
    model.body, model.head = nn.Linear(6, 6), nn.Linear(6, 6)
    change(model)
    assert (survey(model, (6,)).output is not None) == output


def test_a_linear_model_has_no_hidden_units_but_an_output_layer():
    """The inputs themselves are no hidden units."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    anatomy = survey(model, (3, 4))
    assert (anatomy.hidden, anatomy.last, anatomy.output) == (0, 0, OutputLayer("1.weight", "1.bias"))


def test_a_pooled_convolution_is_an_output_layer():
    """A 1 x 1 convolution whose averaged output is the logits can be edited; with a ReLU behind it, it cannot."""
    head = nn.Conv2d(4, 3, 1)
    parts = [nn.Conv2d(1, 4, 3), nn.ReLU(), head]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    assert survey(nn.Sequential(*parts, *end), (1, 8, 8)).output == OutputLayer("2.weight", "2.bias")
    anatomy = survey(nn.Sequential(*parts, nn.ReLU(), *end), (1, 8, 8))
    assert (anatomy.output, anatomy.hidden, anatomy.sites[-1].head) == (None, 4, True)


def test_batches_are_sized_by_bytes():
    """A small perceptron keeps its 10,000 rows; of large images few make a batch, and the logits are the same."""
    assert survey(ZOO["model1"].build((1, 28, 28), 10), (1, 28, 28)).rows == 10_000
    model = LeNet(1, 96, 10)
    rows = survey(model, (1, 96, 96)).rows
    assert rows * 6 * 96 * 96 * 4 <= BATCH_BYTES < (rows + 1) * 6 * 96 * 96 * 4
    x = torch.randn(70, 1, 96, 96)
    torch.testing.assert_close(forward(model, x), forward(model, x, 9))


def test_lazy_modules_get_their_shapes():
    """A network of lazy modules is usable once it is built."""
    from tunebench.networks.models import ModelSpec

    lazy = lambda shape, classes: nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))  # noqa: E731
    model = built(ModelSpec("lazy", lazy), (1, 8, 8), 10)
    assert model[3].weight.shape == (10, 144)
    assert survey(model, (1, 8, 8)).hidden == 4 + 144


def test_calls_that_depend_on_the_number_of_samples_are_told():
    """A forward that loops over its samples cannot be followed."""

    class Loops(Calls):
        def forward(self, x):
            return self.head(torch.stack([self.function(row) for row in self.body(x)]))

    with pytest.raises(UsageError, match="other calls for another number of samples"):
        survey(Loops(nn.ReLU()), (6,))
