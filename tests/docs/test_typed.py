"""README and docs, typed by a reader: every command as it stands, in a folder with what it names, on small defaults."""

import csv
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pages as documents
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from test_commands import PAGES, typed
from user import trained

from tunebench.grid import suite
from tunebench.own import comparison

ROOT = Path(__file__).parents[2]
HERE = (
    "../README.md",
    "index.md",
    "compare.md",
    "tune.md",
    "certificate.md",
    "compression.md",
    "scaling.md",
    "publishing.md",
)
ELSEWHERE = ("reading.md", "your-data-and-networks.md", "plugins.md", "ci.md")
"""Pages whose commands run in test_commands.py, test_your_data_and_networks.py and tests/chaos/test_newcomer.py."""
NEEDS = {
    "run suite.toml --executor dask://HOST:8786 -o out": "a cluster: tests/chaos/test_cluster.py has one",
    "run leaderboards/mnist/suite.toml -t original -t mean-difference -o my-rows": "an installed package and an hour",
}
"""Commands that take more than a test has."""
SMALL = {"models": ("model1",), "tuners": ("logit-bias", "smvt-sj"), "seeds": 1, "trials": 2}
NET = """from torch import nn


def Net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 2))
"""


def photos(folder, rows):
    """Images of cats, which are even digits, and dogs."""
    x, y = load_digits(return_X_y=True)
    for row in rows:
        path = folder / ("cat", "dog")[int(y[row]) % 2] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((x[row].reshape(8, 8) / 16 * 255).astype(np.uint8)).save(path)


def furnish(folder, digits_run):
    """All that the pages name: networks, photos, an archive, run folders, a package."""
    for part, rows in (
        ("photos/train", range(500)),
        ("photos/val", range(500, 1100)),
        ("new-photos", range(1100, 1797)),
    ):
        photos(folder / part, rows)
    x, y = load_digits(return_X_y=True)
    np.savez(folder / "scans.npz", x_train=x[:1200], y_train=y[:1200], x_test=x[1200:], y_test=y[1200:])
    (folder / "net.py").write_text(NET)
    names = {}
    exec(NET, names)
    torch.manual_seed(0)
    pixels = (x.reshape(-1, 1, 8, 8) / 16 * 255).astype(np.uint8)
    net = trained(names["Net"](), pixels[:500], y[:500] % 2)
    torch.save(net.state_dict(), folder / "net.pt")
    for name in ("a.pt2", "b.pt2"):
        shapes = {"input": {0: torch.export.Dim("batch", min=1)}}
        torch.export.save(torch.export.export(net, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=shapes), folder / name)
        with torch.no_grad():
            net[-1].bias[0] += 0.3
    for name in ("leaderboards/mnist", "my-rows", "part-1", "part-2"):
        shutil.copytree(digits_run, folder / name)
    shutil.copytree(ROOT / "docs" / "example_plugin", folder / "mean-difference")


def fill_in(path):
    """The last column of a CSV that `certify` wrote."""
    with path.open(newline="") as text:
        rows = [row | {"label": Path(row["path"]).parent.name} for row in csv.DictReader(text)]
    with path.open("w", newline="") as text:
        writer = csv.DictWriter(text, ["path", "original", "tuned", "label"])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def said(own_cache, digits_run, tunebench, tmp_path_factory):
    """The outcome of every command of every page, in order, by page and words; and the folder."""
    folder, load, done = tmp_path_factory.mktemp("reader"), suite.load_suite, {}

    def small(path, given):
        return load(path, {name: value or SMALL.get(name) for name, value in given.items()})

    furnish(folder, digits_run)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(suite, "load_suite", small)
        patch.setattr(comparison, "FROZEN", ("logit-bias", "smvt-sj-exact"))
        patch.setattr(comparison, "TRAINING", ())
        for page in HERE:
            for words in typed(page):
                if "--answers" in words:
                    fill_in(folder / words[words.index("--answers") + 1])
                if shlex.join(words) not in NEEDS:
                    done[page, shlex.join(words)] = tunebench(*words)
        yield done, folder


def test_every_command_succeeds(said):
    """Exit code 0, and something to read; a certificate may be refused, and rows of two seeds are."""
    done, _ = said
    assert {page for page, _ in done} == set(HERE)
    allowed = {key: {0, 1} if key[1].startswith(("certify", "check --submission")) else {0} for key in done}
    assert {key: found for key, found in done.items() if found.code not in allowed[key]} == {}
    assert all(found.out for found in done.values())


def test_no_page_is_forgotten():
    """Every page with commands is run here or elsewhere, and what no test has the means for is on a page still."""
    pages = {page for page in PAGES if typed(page)}
    assert pages == {*HERE, *ELSEWHERE}
    assert NEEDS.keys() <= {shlex.join(words) for page in HERE for words in typed(page)}


def test_what_the_readme_promises_lies_there(said):
    """A better network as it came, the page, and a comparison on the reader's own data."""
    _, folder = said
    report = json.loads((folder / "fixed" / "report.json").read_text())
    assert report["tuned"]["ta"] >= report["original"]["ta"]
    assert (folder / "fixed" / "tuned.safetensors").is_file()
    assert all(
        (folder / out / "index.html").is_file() for out in ("fixed", "scans", "tunebench-runs/digits", "pressed")
    )


def test_the_python_of_the_page_on_tuning_runs(home, tmp_path, monkeypatch):
    """On a network and arrays of the names that it uses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "FROZEN", ("logit-bias",))
    (block,) = [step.text for step in documents.steps("tune.md") if step.kind == "python"]
    fit, held = ((torch.from_numpy(x).float() / 255, torch.from_numpy(y)) for x, y in (home.fit, home.held))
    names = {"model": home.model, "x_train": fit[0], "y_train": fit[1], "x_valid": held[0], "y_valid": held[1]}
    monkeypatch.setattr(comparison, "TRAINING", ())
    exec(block, names)
    assert (tmp_path / "fixed" / "tuned.safetensors").is_file()
