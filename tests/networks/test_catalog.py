"""Networks from a user's file and from torchvision, by name."""

import pytest
import torch
from torch import nn

from tunebench import UsageError
from tunebench.networks.models import find_model

SOURCE = """
import torch
from torch import nn
from tunebench.models import ModelSpec
import widths

K = 3
ready = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


class Net(nn.Module):
    def __init__(self, shape, num_classes, width=widths.WIDTH):
        super().__init__()
        self.hidden = nn.Linear(shape[1] * shape[2], width)
        self.out = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x.flatten(1))))


class Greedy(nn.Module):
    def __init__(self, classes, wishes):
        super().__init__()


def tiny(in_channels, classes):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))


def a_dict(classes):
    return {"logits": classes}


spec = ModelSpec("any", lambda shape, classes: nn.Sequential(nn.Flatten(), nn.LazyLinear(classes)))
"""


@pytest.fixture
def file(tmp_path):
    """A file with networks of every kind, and a module beside it."""
    (tmp_path / "widths.py").write_text("WIDTH = 5\n")
    (tmp_path / "nets.py").write_text(SOURCE)
    return tmp_path / "nets.py"


@pytest.mark.parametrize("name", ["Net", "tiny", "ready", "spec"])
def test_what_a_file_can_offer(file, name):
    """A class, a function, an instance and a ModelSpec of a file are networks under the name that the user typed."""
    spec = find_model(f"{file}:{name}")
    assert spec.name == f"{file}:{name}"
    network = spec.build((1, 8, 8), 10)
    assert network(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    assert spec.build((1, 8, 8), 10) is not network


def test_the_code_of_a_file_is_known(file):
    """Its digest changes with the file, with a module beside it, and with the weights that an instance brings."""
    code = find_model(f"{file}:Net").code
    assert find_model(f"{file}:Net").code == code
    (file.parent / "widths.py").write_text("WIDTH = 6\n")
    beside = find_model(f"{file}:Net")
    assert beside.code != code
    assert beside.build((1, 8, 8), 10).out.in_features == 6
    assert find_model(f"{file}:ready").code not in (code, beside.code)
    file.write_text(SOURCE + "\nready[1].weight.data.zero_()\n")
    assert find_model(f"{file}:ready").code != find_model(f"{file}:Net").code


def test_an_instance_starts_equal_everywhere(file):
    """The random weights of an instance that a file makes at import do not depend on the process's generator."""
    from tunebench.source import PluginFile

    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = find_model(f"{file}:ready", file=PluginFile("nets.py", *_content(file)))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert find_model(f"{file}:ready").code == first.code


def _content(file):
    """Source, folder and siblings of a file without a folder of its own, as another machine gets it."""
    return file.read_bytes(), "", (("widths.py", (file.parent / "widths.py").read_bytes()),)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("nets.py:Nte", "unknown network in .*nets.py 'Nte'; did you mean Net"),
        ("nets.py", "name what to take from it: .*nets.py:Greedy, .*nets.py:Net"),
        ("nets.py:K", "K is int; name a class, function or instance of torch.nn.Module"),
        ("none.py:Net", "No such file"),
        ("broken.py:Net", "does not load: ZeroDivisionError"),
        ("exits.py:Net", "does not load: SystemExit"),
        ("empty.py:Net", "unknown network in .*empty.py 'Net'"),
    ],
)
def test_names_that_are_no_network(file, name, fault):
    """One line says what is wrong and what there is."""
    (file.parent / "broken.py").write_text("1 / 0")
    (file.parent / "exits.py").write_text("raise SystemExit(0)")
    (file.parent / "empty.py").write_text("")
    with pytest.raises(UsageError, match=fault) as caught:
        find_model(f"{file.parent}/{name}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "fault"), [("Greedy", "its parameter 'wishes'"), ("a_dict", "returned dict")])
def test_what_cannot_be_built(file, name, fault):
    """A parameter that nothing gives a value, or something that is no module, is named when it is built."""
    with pytest.raises(UsageError, match=fault):
        find_model(f"{file}:{name}").build((1, 8, 8), 10)


def test_two_files_of_one_name(file, tmp_path):
    """Files called alike, each with a module beside it that is called alike, live side by side."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "widths.py").write_text("WIDTH = 9\n")
    (other / "nets.py").write_text(SOURCE)
    built = [find_model(f"{path}:Net").build((1, 8, 8), 10).out.in_features for path in (file, other / "nets.py")]
    assert built == [5, 9]


@pytest.mark.parametrize(
    "name", ["shufflenet_v2_x0_5", "squeezenet1_1", "mobilenet_v3_small", "resnet18", "regnet_y_400mf", "googlenet"]
)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28)], ids=str)
def test_torchvision_networks_fit_small_images(name, shape):
    """They take any number of channels and classes, and small images through a first convolution of stride 1."""
    network = find_model(f"torchvision:{name}").build(shape, 7).eval()
    first = next(part for part in network.modules() if isinstance(part, nn.Conv2d))
    assert (first.in_channels, first.stride) == (shape[0], (1, 1))
    assert network(torch.zeros(2, *shape)).shape == (2, 7)


def test_torchvision_networks_without_such_a_stem():
    """Patches cannot be cut finer: small images are enlarged instead; large ones go through as they are."""
    spec = find_model("torchvision:vit_b_16")
    with torch.device("meta"):
        network = spec.build((1, 28, 28), 7)
        assert isinstance(network[0], nn.Upsample)
        assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 7)
        strides = {
            side: find_model("torchvision:resnet18").build((3, side, side), 7).conv1.stride[0] for side in (48, 64, 224)
        }
    assert strides == {48: 1, 64: 2, 224: 2}


@pytest.mark.parametrize(
    ("name", "shape", "fault"),
    [("resnet81", (3, 32, 32), "unknown torchvision network 'resnet81'; did you mean"), ("resnet18", (64,), "images")],
)
def test_torchvision_networks_that_cannot_be(name, shape, fault):
    """A slip is answered with the nearest names, data without images with what is needed."""
    with pytest.raises(UsageError, match=fault):
        find_model(f"torchvision:{name}").build(shape, 10)
