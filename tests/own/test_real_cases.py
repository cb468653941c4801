"""Weak classes of real data, with networks trained in a moment: tiles, chest X-rays, characters."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

import tunebench
from tunebench.datasets import Place, open_dataset
from tunebench.networks.training import minibatches, sgd

DATA = os.environ.get("TUNEBENCH_DATA")


class Small(nn.Module):
    """Two convolutions and a hidden layer; larger images are averaged to 32 x 32 first."""

    def __init__(self, side, classes):
        super().__init__()
        self.pool = side // 32 if side > 32 else 1
        side = side // self.pool
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * (side // 4) ** 2, 48), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(48, classes)

    def forward(self, x):
        """Logits (N, C)."""
        return self.head(self.features(avg_pool2d(x, self.pool)))


@pytest.mark.skipif(DATA is None, reason="needs the real data sets, see TUNEBENCH_DATA")
@pytest.mark.parametrize(
    ("file", "target", "steps", "most"),
    [
        ("magnetic-tile.npz", "MT_Crack", 150, 2_000),
        ("pneumoniamnist.npz", "0", 150, 5_000),
        ("emnist47-reduced.npz", None, 250, 12_000),
    ],
)
def test_a_weak_class_of_real_data(file, target, steps, most):
    """TA rises on samples that the network has not seen, and the budget is kept."""
    path = Path(DATA) / file
    if not path.is_file():
        pytest.skip(f"{file} is not there")
    dataset = open_dataset(f"npz:{path}", Place(None))
    train, held = dataset.train(), dataset.test()
    rows = torch.randperm(len(train.y), generator=torch.Generator().manual_seed(0))[:most]
    torch.manual_seed(0)
    model = Small(dataset.shape[-1], dataset.classes)
    x, y = train.x[rows], train.y[rows]
    sgd(model, minibatches(x, y, steps, seed=0), nn.functional.cross_entropy, 0.05, momentum=0.9)
    if target is None:
        right = model(held.x).argmax(1) == held.y
        recalls = torch.stack([right[held.y == c].double().mean() for c in range(dataset.classes)])
        target = dataset.class_names[int(recalls.argmin())]
    found = tunebench.tune(
        model, (x, y), (held.x, held.y), target, budget=1.0, names=dataset.class_names,
        tuners=["logit-bias", "smvt-sj-exact", "last-layer"], trials=5,
    )  # fmt: skip
    report = found.report
    assert report["tuned"]["ta"] > report["original"]["ta"]
    assert report["tuned"]["oa"] >= report["original"]["oa"] - 0.01 - 1e-12
    assert report["certificate"] is not None or "nothing could be certified" in report["why"]
