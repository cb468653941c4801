"""Networks in files: how many outputs they have where nobody says, and of which type their inputs are."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tunebench.own.files import save_program
from tunebench.own.given import predictions

CODE = """
from torch import nn

class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1, self.fc = nn.Linear(6, 8), nn.Linear(8, 10)

    def forward(self, x):
        return self.fc(self.layer1(x).relu())

def asks(classes):
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, classes), nn.BatchNorm1d(classes))
"""
X = np.random.default_rng(0).normal(size=(12, 6))


@pytest.fixture
def code(tmp_path):
    """A module with a network of ten outputs, and one that asks for their number; their names sort before it."""
    (tmp_path / "nets.py").write_text(CODE)
    names = {"nn": nn}
    exec(CODE, names)
    return tmp_path / "nets.py", names


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize(("name", "arguments", "outputs"), [("Fixed", (), 10), ("asks", (2,), 2), ("asks", (7,), 7)])
def test_the_number_of_outputs_is_the_networks(code, name, arguments, outputs, suffix):
    """Whatever stands last in its file: a hidden layer by its name, or the count of batch normalisation."""
    path, names = code
    torch.manual_seed(0)
    model = names[name](*arguments).eval()
    file = path.with_suffix(f".{suffix}")
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    (save_file if suffix == "safetensors" else torch.save)(state, file)
    found, count = predictions(file, f"{path}:{name}", X, None)
    assert count == outputs
    with torch.no_grad():
        assert np.array_equal(found, model(torch.from_numpy(X).float()).argmax(1).numpy())


class Scaled(nn.Module):
    """All that it has is a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.linspace(1, 2, 6, dtype=torch.float64))

    def forward(self, x):
        """Logits (N, C)."""
        return x * self.factor


@pytest.mark.parametrize("model", [nn.Linear(6, 3).double(), nn.Linear(6, 3), Scaled()], ids=["64", "32", "buffer"])
def test_a_program_gets_inputs_of_its_own_type(model, tmp_path):
    """What `tune` writes of a network in double precision, `certify` reads."""
    x = torch.from_numpy(X)
    save_program(model.eval(), x.float(), tmp_path / "net.pt2")
    found, count = predictions(tmp_path / "net.pt2", None, X, None)
    with torch.no_grad():
        expected = model(x.float().to(next(iter(model.state_dict().values())).dtype))
    assert (found.tolist(), count) == (expected.argmax(1).tolist(), expected.shape[1])
