"""From a cold start to the file that a user takes home, on the clock that she looks at: needs an idle machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from references import note

from tunebench.datasets.torchvision_compat import import_torchvision
from tunebench.networks.training import minibatches, sgd
from tunebench.own.comparison import FROZEN, TRAINING

DATA = os.environ.get("TUNEBENCH_DATA")
JPEGS = Path(DATA or "") / "cifar10-jpeg.tar.gz"
STEPS, SHOWN = 100, 200
"""Of training the network that is brought, and on how many images of each class."""


@pytest.fixture(autouse=True)
def _idle():
    """Where other work has the cores, the clock tells of that."""
    if os.getloadavg()[0] > 1.5:
        pytest.skip(f"needs an idle machine; its load is {os.getloadavg()[0]:.1f}")


def seconds_of(cache, *arguments):
    """Seconds of ``tunebench tune ARGUMENTS`` with the empty folder ``cache`` for its cache, imports included."""
    call = [sys.executable, "-m", "tunebench", "tune", "-q", "-j", "2", *map(str, arguments)]
    start = time.perf_counter()
    subprocess.run(call, env={**os.environ, "XDG_CACHE_HOME": str(cache)}, check=True, capture_output=True)
    return time.perf_counter() - start


def statuses(out):
    """What became of every tuner."""
    return {line["tuner"]: line["status"] for line in json.loads((out / "report.json").read_text())["candidates"]}


def test_digits_to_onnx(benchmark, home, tmp_path):
    """1,797 PNGs, a LeNet with functional ReLU, all default tuners with their default trials: at most 45 seconds."""
    out = tmp_path / "out"
    given = ("--model", f"{home.folder / 'net.py'}:Net", "--weights", home.folder / "net.pt")
    data = ("--data", home.folder / "digits", "--target", "eight", "--export", "onnx", "-o", out)
    seconds = seconds_of(tmp_path / "cache", *given, *data)
    assert (out / "tuned.onnx").is_file()
    assert statuses(out) == dict.fromkeys(("original", *FROZEN, *TRAINING), "ok")
    note(benchmark, "`tunebench tune`, 1,797 PNGs to `tuned.onnx`", "45 s", seconds / 45, 1.0)
    benchmark.pedantic(lambda: None)
    assert seconds <= 45


def pixels(folder):
    """The images of a folder with a folder per class, (N, 3, H, W) in [0, 1], and their labels."""
    named = [(path, label) for label, part in enumerate(sorted(folder.iterdir())) for path in sorted(part.iterdir())]
    images = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in named])
    return torch.from_numpy(images.transpose(0, 3, 1, 2)).float() / 255, torch.tensor([label for _, label in named])


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory):
    """10,000 test images of CIFAR-10 (JPEG) and some of its training images, a folder per class; skips without."""
    if DATA is None or not JPEGS.is_file():
        pytest.skip(f"needs {JPEGS.name}: set TUNEBENCH_DATA to a folder with it")
    folder = tmp_path_factory.mktemp("cifar10")
    counts: dict[str, int] = {}
    with tarfile.open(JPEGS) as archive:
        for member in archive:
            place, _, name = member.name.rpartition("/")
            counts[place] = counts.get(place, 0) + name.endswith(".jpg")
            if "/test/" in member.name or counts[place] <= SHOWN:
                archive.extract(member, folder, filter="data")
    return folder / "cifar10_jpeg"


def test_shufflenet(benchmark, jpegs, tmp_path):
    """A torchvision network and 10,000 images of unseen data: 1.3 forward passes and a minute for frozen features."""
    import_torchvision()
    from torchvision.models import shufflenet_v2_x0_5

    torch.manual_seed(0)
    model = shufflenet_v2_x0_5(weights=None, num_classes=10)
    sgd(model.train(), minibatches(*pixels(jpegs / "train"), STEPS, seed=0), torch.nn.functional.cross_entropy, 0.05)
    torch.save(model.eval().state_dict(), tmp_path / "net.pth")
    x, _ = pixels(jpegs / "test")
    assert len(x) == 10_000
    start = time.perf_counter()
    with torch.no_grad():
        for rows in x.split(500):
            model(rows)
    forward = time.perf_counter() - start
    given = ("--model", "torchvision:shufflenet_v2_x0_5", "--weights", tmp_path / "net.pth", "--data", jpegs / "test")
    seconds = seconds_of(tmp_path / "cache", *given, "--target", "cat", "-o", tmp_path / "out")
    assert {name for name, status in statuses(tmp_path / "out").items() if status == "ok"} >= {*FROZEN} - {"refit-all"}
    limit = 1.3 * forward + 60
    print(f"{seconds:.1f} s, a forward pass {forward:.1f} s")
    what = "`tunebench tune`, ShuffleNetV2, 10,000 JPEGs, frozen features"
    note(benchmark, what, "1.3 forward passes and 60 s", seconds / limit, 1.0)
    benchmark.pedantic(lambda: None)
    assert seconds <= limit
