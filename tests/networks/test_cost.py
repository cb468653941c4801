"""Parameters and FLOPs: the published figures exactly, and the counting rules of docs/methods.md, section 3."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from zoo import TORCHVISION, ZOO, LeNet

from tunebench import LogitEdit
from tunebench.datasets.torchvision_compat import import_torchvision
from tunebench.networks.activations import forward
from tunebench.networks.cost import cost_of_edit, cost_of_module, count_bytes, count_flops, count_params
from tunebench.networks.edits import EditedModel, fold
from tunebench.networks.models import find_model
from tunebench.networks.sites import ACTIVATIONS, WEIGHTED, Watch, survey

X = torch.zeros(1, 1, 28, 28)
PUBLISHED = [("model1", 85_614, 85_778), ("model2", 119_722, 120_010)]


def build(name="model1"):
    """An untrained network for MNIST in which no parameter is zero."""
    torch.manual_seed(0)
    return find_model(name).build((1, 28, 28), 10).eval()


def edit_of(last=0, skip=0, bias=0.0):
    """An edit of class 5 of model 1: ``skip`` synapses from the first hidden layer, ``last`` from the second."""
    edit = LogitEdit(torch.zeros(10, 164), torch.zeros(10))
    edit.weight[5, :skip] = 0.5
    edit.weight[5, 100 : 100 + last] = 0.25
    edit.bias[5] = bias
    return edit


def cost(edit, model=None):
    """Cost of model 1 with ``edit``."""
    model = model or build()
    anatomy = survey(model, X.shape[1:])
    return cost_of_edit(model, edit, fold(model, edit, anatomy), X, anatomy)


@pytest.mark.parametrize(("name", "params", "flops"), PUBLISHED)
def test_published_counts(name, params, flops):
    """Models 1 and 2 have exactly the parameters and FLOPs that the paper prints."""
    assert count_params(build(name)) == params
    assert count_flops(build(name), X) == flops


@pytest.mark.parametrize(("name", "params", "flops"), PUBLISHED)
def test_ptflops_agrees(name, params, flops):
    """ptflops, which the paper used, counts the same without its functional doubles."""
    import_torchvision()
    from ptflops import get_model_complexity_info

    found = get_model_complexity_info(
        build(name), (1, 28, 28), as_strings=False, print_per_layer_stat=False, backend="pytorch",
        backend_specific_config={"count_functional": False},
    )  # fmt: skip
    assert found == (flops, params)


def test_a_synapse_from_an_early_layer_is_a_new_weight():
    """Seven skip synapses cost 7 parameters and 7 FLOPs in the logical network; the paper counts the same 85,621."""
    found = cost(edit_of(skip=7))
    assert (found.params, found.params_paper, found.flops) == (85_621, 85_621, 85_785)


def test_a_synapse_from_the_last_layer_is_an_edit():
    """Weights that are there already cost nothing new; the paper charges 1 for each all the same."""
    found = cost(edit_of(last=7))
    assert (found.params, found.params_paper, found.flops) == (85_614, 85_621, 85_778)
    assert (found.params_stored, found.flops_stored) == (85_614, 85_778)


def test_a_bias_is_an_edit():
    """Changing a bias that is there already costs nothing, under either convention."""
    found = cost(edit_of(bias=0.3))
    assert found == (85_614, 85_778, 85_614, 85_614, 85_778, 4 * 85_614)


def test_folding_costs_what_it_stores():
    """A folded skip synapse stores a pass-through weight and a final one, and a ReLU unit more."""
    found = cost(edit_of(skip=3, last=2))
    assert (found.params, found.params_paper) == (85_617, 85_619)
    assert (found.params_stored, found.flops_stored) == (85_614 + 2 * 3, 85_778 + 2 * 3 + 3)


def test_an_edit_can_bring_a_weight_to_life_or_to_zero():
    """The output layer is counted as it is after the merge."""
    model, edit = build(), edit_of(last=2)
    with torch.no_grad():
        model[-1].weight[5, 0] = 0.0  # comes to life
        model[-1].weight[5, 1] = -0.25  # is cancelled
        model[-1].bias[5] = 0.0
    edit.bias[5] = 1.0
    assert count_params(model) == 85_612
    assert cost(edit, model).params == 85_613


def test_masked_weights_do_not_count():
    """Zeros left by pruning cost neither parameters nor FLOPs."""
    model = build()
    with torch.no_grad():
        model[1].weight[:, :300] = 0
    assert cost_of_module(model, X) == (55_614, 55_778, 55_614, 55_614, 55_778, 4 * 85_614)


def test_a_unit_without_input_has_no_relu():
    """A ReLU unit counts only while some parameter feeds it."""
    model = build()
    with torch.no_grad():
        model[3].weight[7] = 0
        model[3].bias[7] = 0
    assert count_flops(model, X) == 85_778 - 100 - 1 - 1
    with torch.no_grad():
        model[3].bias[7] = 1
    assert count_flops(model, X) == 85_778 - 100


def test_a_convolution_counts_at_every_position():
    """Weights and biases of a convolution count once per output position, as does its ReLU."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    assert count_flops(model, torch.zeros(1, 1, 8, 8)) == 36 * (18 + 2) + 72 + (72 * 3 + 3)


def test_a_wrapped_network_stores_its_edit():
    """Where the base cannot be folded, what is exported holds the edit's non-zero entries beside it."""
    plain = build()
    base, edit = EditedModel(plain, edit_of(last=64), survey(plain, X.shape[1:]).sites), edit_of(skip=3, bias=0.5)
    anatomy = survey(base, X.shape[1:])
    folded = fold(base, edit, anatomy)
    assert isinstance(folded, EditedModel)
    forward(folded, X)
    found = cost_of_edit(base, edit, folded, X, anatomy)
    assert found.params_stored == 85_614 + 64 + 3 + 1
    assert found.flops_stored == 85_778 + 64 + 3 + 1


@pytest.mark.parametrize("name", [*TORCHVISION, "lenet", "functional-cnn", "vit"])
def test_products_of_any_network_are_torchs(name):
    """Without biases and activation functions, the multiply-accumulates are half of what torch's counter says."""
    torch.manual_seed(0)
    model, x = ZOO[name].build((1, 8, 8), 10).eval(), torch.zeros(1, 1, 8, 8)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)  # no weight is zero
    units, biases = [], []

    def watch(func, args, kwargs):
        out = func(*args, **kwargs)
        if func in WEIGHTED:
            bias = kwargs.get("bias", args[2] if len(args) > 2 else None)
            biases.append(0 if bias is None else out.numel())
        if func in ACTIVATIONS:
            units.append(out.numel())
        return out

    # a fused attention, which torch takes where nobody watches, is not counted by torch
    with torch.no_grad(), FlopCounterMode(display=False) as counter, Watch(watch):
        model(x)
    assert count_flops(model, x) == counter.get_total_flops() // 2 + sum(biases) + sum(units)
    assert count_bytes(model) == sum(t.numel() * t.element_size() for t in model.state_dict().values())


def test_ptflops_agrees_on_a_convolutional_network():
    """LeNet, pooling aside: ptflops counts the same weights, biases and ReLU units."""
    import_torchvision()
    from ptflops import get_model_complexity_info

    model = LeNet(1, 28, 10)
    for k in (2, 5):
        model.features[k] = nn.Identity() if k == 5 else nn.Conv2d(6, 6, 2, stride=2, groups=6)
    model.classifier[0] = nn.Linear(16 * 14 * 14, 120)
    found = get_model_complexity_info(
        model, (1, 28, 28), as_strings=False, print_per_layer_stat=False, backend="pytorch",
        backend_specific_config={"count_functional": False},
    )  # fmt: skip
    assert found == (count_flops(model, X), count_params(model))


@pytest.mark.parametrize(
    "compiled", [torch.jit.script, lambda model: torch.jit.trace(model, X)], ids=["script", "trace"]
)
def test_a_scripted_network_is_counted_densely(compiled):
    """Its calls cannot be seen one by one: products as torch counts them, parameters as ever, never nothing."""
    found = cost_of_module(compiled(build()), X)
    assert found.params == 85_614
    assert found.flops == 784 * 100 + 100 * 64 + 64 * 10


class Steps(nn.Module):
    """A recurrent cell over the eight rows of an image."""

    def __init__(self, cell):
        super().__init__()
        self.cell, self.head = cell, nn.Linear(5, 3)

    def forward(self, x):
        """Logits (N, 3)."""
        state = None
        for row in x[:, 0].unbind(1):
            state = self.cell(row, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


@pytest.mark.parametrize("cell", [nn.LSTMCell(8, 5), nn.GRUCell(8, 5), nn.RNNCell(8, 5)], ids=["lstm", "gru", "rnn"])
def test_recurrent_cells_count_at_every_step(cell):
    """All weights and biases of a cell, once for each of eight steps, and the output layer."""
    own = sum(weight.numel() for weight in cell.parameters())
    assert count_flops(Steps(cell), torch.zeros(1, 1, 8, 8)) == 8 * own + 3 * 5 + 3
