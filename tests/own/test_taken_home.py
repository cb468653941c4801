"""What is written home, for networks of every kind."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tunebench import InvalidOutput, LogitEdit, UsageError
from tunebench.networks.activations import forward
from tunebench.networks.edits import fold
from tunebench.networks.sites import survey
from tunebench.own import files
from tunebench.own.files import require_exports, write_network

sys.path.append(str(Path(__file__).parents[1] / "networks"))
from zoo import ZOO

X = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
WRAPPED = {"squeezenet1_1", "lstm"}
"""Nothing at the end of these adds to a logit: a ReLU follows the last convolution, and a factor the LSTM."""


def built(name):
    """An untrained network of the zoo."""
    torch.manual_seed(0)
    return ZOO[name].build((1, 8, 8), 10).eval()


@pytest.mark.parametrize("name", ZOO)
def test_results_of_the_output_layer_have_her_keys(name, tmp_path):
    """A bias, a vector, a row and a whole output layer come home as numbers of the same keys and shapes."""
    model = built(name)
    anatomy = survey(model, (1, 8, 8))
    own = {key: value.shape for key, value in model.state_dict().items()}
    for kind in ("bias", "vector", "row", "layer"):
        edit = LogitEdit(torch.zeros(10, anatomy.hidden), torch.zeros(10))
        edit.bias[3 if kind in ("bias", "row") else slice(None)] = 0.5
        if anatomy.last and kind in ("row", "layer"):
            edit.weight[3 if kind == "row" else slice(None), -anatomy.last :] = 0.01
        tuned = fold(model, edit, anatomy)
        if name in WRAPPED:
            assert tuned.state_dict().keys() != own.keys()
            continue
        (written,) = write_network(tuned, model, X, tmp_path, ())
        state = load_file(written.path)
        assert {key: value.shape for key, value in state.items()} == own
        expected = forward(tuned, X)
        tuned.load_state_dict(state)
        assert torch.equal(forward(tuned, X), expected)
        assert [path.name for path in tmp_path.iterdir()] == ["tuned.safetensors"]


@pytest.mark.parametrize("name", ["functional-cnn", "lstm", "model1"])
def test_any_other_result_is_a_program(name, tmp_path):
    """Synapses from earlier units, or a network without an output layer, come home as a torch.export file."""
    model = built(name)
    anatomy = survey(model, (1, 8, 8))
    edit = LogitEdit(torch.zeros(10, anatomy.hidden), torch.zeros(10))
    edit.bias[3] = 0.5
    edit.weight[3, :2] = 0.25
    tuned = fold(model, edit, anatomy)
    (written,) = write_network(tuned, model, X, tmp_path, ())
    assert written.path.name == "tuned.pt2"
    torch.testing.assert_close(torch.export.load(written.path).module()(X), forward(tuned, X))


def test_a_file_that_is_not_the_network_is_not_kept(tmp_path, monkeypatch):
    """Where what was written gives other logits, nothing is called tuned."""
    model = built("model1")
    monkeypatch.setattr(files, "forward", lambda network, x: forward(network, x) + 1)
    with pytest.raises(InvalidOutput, match=r"tuned\.onnx gives other logits"):
        write_network(model, model, X, tmp_path, ("onnx",))
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.safetensors"]


def test_files_of_an_earlier_call_do_not_stay(tmp_path):
    """A network beside another one's report would be taken for that."""
    model = built("model1")
    write_network(model, model, X, tmp_path, ("torch",))
    write_network(model, model, X, tmp_path, ())
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.safetensors"]


class Branches(nn.Module):
    """What no exporter follows."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        """Logits (N, C)."""
        return self.head(x.flatten(1)) * (2.0 if float(x.sum()) > 0 else 1.0)


def test_what_cannot_be_exported_is_one_line(tmp_path):
    """A network with control flow on its data: the library's words in a line, no file."""
    with pytest.raises(InvalidOutput, match=r"tuned\.pt2 cannot be made of this network") as caught:
        write_network(Branches().eval(), Branches().eval(), X, tmp_path, ("torch",))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tuned.pt2").exists()


def test_a_missing_package_is_told_before_anything_is_done(monkeypatch):
    """--export onnx without onnxruntime says what to install."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"pip install 'tunebench\[export\]'"):
        require_exports(("onnx",))
