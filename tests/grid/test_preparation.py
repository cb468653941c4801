"""Before the cells: what keys say of a network, and networks that fail without taking the others along."""

import csv
import json

import pytest
from conftest import run_command

NETS = """
import os
import torch
from torch import nn
from layers import hidden


class Good(nn.Module):
    noisy = object()

    def __init__(self, shape, classes):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), hidden(), nn.ReLU(), nn.Linear(8, classes))

    def extra_repr(self):
        return repr(object())

    def forward(self, x):
        return self.net(x)


class Raises(nn.Module):
    def __init__(self, shape, classes):
        raise RuntimeError("no licence")


class Exits(nn.Module):
    def __init__(self, shape, classes):
        os._exit(3)


class Untrainable(Good):
    def forward(self, x):
        if torch.is_grad_enabled():
            raise ValueError("gradients make me sick")
        return super().forward(x)


class Table(Good):
    def forward(self, x):
        return {"logits": super().forward(x)}


class Colour(nn.Sequential):
    def __init__(self, classes):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))
"""
LAYERS = "from torch import nn\n\ndef hidden():\n    return nn.Linear(64, 8)\n"
BRIEF = ("run", "-d", "digits", "-t", "logit-bias", "--seeds", "1", "--trials", "2", "--recipe", "quick", "-q")


@pytest.fixture
def file(tmp_path):
    """A file with networks that are good, fail, or are no classifiers, and a module beside it."""
    (tmp_path / "layers.py").write_text(LAYERS)
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path / "nets.py"


def rows_of(out):
    """Rows of leaderboard.csv by model's name in its file."""
    with (out / "leaderboard.csv").open(encoding="utf-8", newline="") as lines:
        return {row["model"].rpartition(":")[2]: row for row in csv.DictReader(lines)}


def lines_of(text):
    """``reused`` or ``computed`` and why, of every cell that --explain-cache tells of."""
    return [line.partition(": ")[2] for line in text.splitlines() if "/logit-bias/0: " in line]


def test_a_network_that_fails_costs_its_own_cells(file, tmp_path):
    """Raising or exiting while built, or failing while trained, is an error of its cells; the others go on."""
    out, names = tmp_path / "out", ("Good", "Raises", "Exits", "Untrainable")
    grid = (*BRIEF, "--target", "3", *[flag for name in names for flag in ("-m", f"{file}:{name}")], "-o", out)
    done = run_command(*grid)
    assert done.code == 1, done.err
    rows = rows_of(out)
    assert {name: rows[name]["status"] for name in names} == dict.fromkeys(names, "error") | {"Good": "ok"}
    assert "cannot be built: RuntimeError: no licence" in rows["Raises"]["reason"]
    assert "cannot be built: its process ended by itself with exit code 3" in rows["Exits"]["reason"]
    assert "cannot be trained: ValueError: gradients make me sick" in rows["Untrainable"]["reason"]
    assert "Untrainable seed 0" in done.err
    file.write_text(NETS.replace("raise ValueError", "print"))
    assert run_command(*grid).code == 1
    statuses = {name: row["status"] for name, row in rows_of(out).items()}
    assert statuses == {"Good": "ok", "Raises": "error", "Exits": "error", "Untrainable": "ok"}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Table", "returns a dict"),
        ("Colour", "it needs 3 input channels"),
        ("Nowhere", "unknown network"),
        ("", "name"),
    ],
)
def test_what_is_no_classifier_is_refused(file, tmp_path, name, fault):
    """One line and exit code 2 before anything is trained or written, also beside networks that are good."""
    done = run_command(*BRIEF, "-m", "mlp:8", "-m", f"{file}:{name}", "-o", tmp_path / "out")
    assert done.code == 2
    assert fault in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_keys_name_the_code_of_a_network(file, tmp_path):
    """An object's address in a repr changes nothing; an edited forward(), or an edited module beside it, does."""
    grid = (*BRIEF, "--target", "3", "-m", f"{file}:Good", "--explain-cache", "-o", tmp_path / "out")
    assert lines_of(run_command(*grid).out) == ["computed, there is no result yet"]
    assert lines_of(run_command(*grid).out) == ["reused, ok, computed from the same inputs"]
    file.write_text(NETS.replace("return self.net(x)", "return 2 * self.net(x)"))
    (edited,) = lines_of(run_command(*grid).out)
    assert "computed, original.architecture" in edited
    (file.parent / "layers.py").write_text(LAYERS.replace("nn.Linear(64, 8)", "nn.Linear(64, 8, bias=False)"))
    (beside,) = lines_of(run_command(*grid).out)
    assert "computed, original.architecture" in beside


def test_a_plugin_is_loaded_where_it_is_needed(file, tmp_path):
    """A tuner's plugin is not there while a network is trained, whatever it does to a process at import."""
    log = tmp_path / "log"
    plugin = tmp_path / "rude.py"
    plugin.write_text(
        "import multiprocessing, os, torch\n"
        "from tunebench import LogitEdit, Tuner\n"
        "torch.set_grad_enabled(False)\n"
        "torch.set_default_dtype(torch.float64)\n"
        "multiprocessing.set_start_method('spawn')\n"
        "os.chdir('/')\n"
        "print('hello')\n"
        f"open({str(log)!r}, 'a').write(f'{{os.getpid()}} ')\n"
        "class Rude(Tuner):\n"
        "    name = 'rude'\n"
        "    def tune(self, task, params, prepared):\n"
        "        return LogitEdit.of_target(task, bias=1.0)\n"
    )
    again = tmp_path / "again.py"
    again.write_text(plugin.read_text().replace("rude", "ruder"))
    done = run_command(
        *BRIEF, "-t", "rude", "-t", "ruder", "-t", "cw-p", "--target", "3", "-m", f"{file}:Good",
        "--plugin", plugin, "--plugin", again, "-o", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "hello" not in done.out
    assert len(set(log.read_text().split())) == 5  # this process, and for each of the two a cell and its latency
    listed = run_command("list", "tuners", "--json", "--plugin", plugin)
    assert "rude" in json.loads(listed.out)["tuners"]


def test_globs_of_data_sets_and_networks(file, tmp_path):
    """They stand for every name that matches, a plugin's too; one without a match is an unknown name."""
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import numpy as np\nfrom tunebench import hookimpl\n"
        "from tunebench.datasets import DatasetSource\nfrom tunebench.networks.models import ModelSpec\n"
        "from torch import nn\n"
        "class Digitoids(DatasetSource):\n    name = 'digitoids'\n    def load(self, split, place):\n"
        "        return np.arange(160).astype(np.uint8).reshape(40, 4), np.arange(40) % 2\n"
        "@hookimpl\ndef tunebench_datasets():\n    return [Digitoids(), 'junk']\n"
        "@hookimpl\ndef tunebench_models():\n"
        "    linear = lambda shape, classes: nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))\n"
        "    return [ModelSpec('model-linear', linear), 7]\n"
    )
    flags = ("--plugin", plugin, "--seeds", "1", "-t", "original", "--dry-run")
    done = run_command("run", "-d", "digit*", "-m", "model*", *flags)
    assert done.code == 0, done.err
    assert "data sets  digitoids, digits" in done.out
    assert "models     model-linear, model1, model2" in done.out
    for wrong in (("-d", "dogits*"), ("-m", "nodel*")):
        failed = run_command("run", *wrong, *flags)
        assert failed.code == 2
        assert f"unknown {'data set' if wrong[0] == '-d' else 'model'} '{wrong[1]}'; did you mean" in failed.err
