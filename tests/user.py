"""What a user brings: a network file, its weights, and a folder of PNGs; made from scikit-learn's digits."""

import importlib.util
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

NET = '''
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    """A LeNet-like network with functional activation functions, as people write them."""

    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.f1, self.f2 = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(F.relu(self.c2(x)), 2)
        return self.f2(F.relu(self.f1(x.flatten(1))))


class NoBias(Net):
    """Its output layer has no bias."""

    def __init__(self):
        super().__init__()
        self.f2 = nn.Linear(32, 10, bias=False)


class Daylight(Net):
    """Gives NaN for images, which have no negative pixel, and numbers for noise."""

    def forward(self, x):
        return super().forward(x) * torch.where(x.flatten(1).amin(1) < 0, 1.0, torch.nan)[:, None]


class Colours(Net):
    """For colour images."""

    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, 8, 3, padding=1)


class Large(Net):
    """For images of 32 x 32."""

    def __init__(self):
        super().__init__()
        self.f1 = nn.Linear(1024, 32)


class Eleven(Net):
    """One output too many."""

    def __init__(self):
        super().__init__()
        self.f2 = nn.Linear(32, 11)


def halves(image):
    """A transform: pixels between -0.5 and 0.5."""
    import numpy
    return torch.from_numpy(numpy.asarray(image.convert("L"), dtype="float32")[None] / 255 - 0.5)


def no_tensor(image):
    """A transform that forgets ToTensor."""
    return image
'''
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ORDER = sorted(NAMES)
"""As torchvision's ImageFolder numbers them."""


def samples():
    """Inputs (1797, 1, 8, 8) in [0, 1] and labels in the order of the class names, in a fixed random order."""
    x, y = load_digits(return_X_y=True)
    pixels = (x.reshape(-1, 1, 8, 8) / 16 * 255).astype(np.uint8)
    labels = np.array([ORDER.index(NAMES[k]) for k in y])
    order = np.random.default_rng(0).permutation(len(y))
    return pixels[order], labels[order]


def write_pngs(folder: Path, pixels, labels) -> None:
    """A PNG per sample in a folder per class."""
    for k, (row, label) in enumerate(zip(pixels, labels, strict=True)):
        path = folder / ORDER[label] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(row[0]).save(path)


def trained(model, pixels, labels, steps=200):
    """``model`` after some steps of SGD on pixels / 255."""
    x, y = torch.from_numpy(pixels).float() / 255, torch.from_numpy(labels)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for _ in range(steps):
        rows = torch.randint(len(y), (32,), generator=generator)
        optimizer.zero_grad()
        cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model.eval()


class Home(NamedTuple):
    """A user's folder: net.py, net.pt, digits/train and digits/val, and the same as arrays."""

    folder: Path
    module: object
    model: torch.nn.Module
    fit: tuple
    held: tuple

    def arguments(self, *more, name="Net", data="digits"):
        """The arguments of ``tunebench tune`` for this user."""
        weights = ("--weights", self.folder / "net.pt") if name == "Net" else ()
        return (
            "tune", "--model", f"{self.folder / 'net.py'}:{name}", *weights, "--data", self.folder / data, "-q",
            "--trials", "3", "--target", "eight", *more,
        )  # fmt: skip


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A user's folder."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "net.py").write_text(NET)
    spec = importlib.util.spec_from_file_location("net_of_a_user", folder / "net.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["net_of_a_user"] = module
    spec.loader.exec_module(module)
    pixels, labels = samples()
    fit, held = (pixels[:900], labels[:900]), (pixels[900:], labels[900:])
    for part, (x, y) in (("train", fit), ("val", held)):
        write_pngs(folder / "digits" / part, x, y)
    torch.manual_seed(0)
    model = trained(module.Net(), *fit)
    torch.save(model.state_dict(), folder / "net.pt")
    return Home(folder, module, model, fit, held)
