"""`tunebench paper`: the published figures, the comparison in words, and one small run from data to README."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from digits import digits_task
from sklearn.datasets import load_digits

from tunebench.datasets import Samples
from tunebench.datasets.vision import SOURCES
from tunebench.networks.edits import edited_logits
from tunebench.paper import experiments
from tunebench.paper.analysis import Prober
from tunebench.paper.compare import Line, Table, difference, show_ours, spread
from tunebench.paper.experiments import Part
from tunebench.paper.published import dataset_names, published
from tunebench.paper.render import Report, all_tables, readme
from tunebench.paper.tables import table8, table11
from tunebench.results.metrics import dot_rv
from tunebench.tuner import LogitEdit


def make_run(seed: int, ta: float, **changes) -> dict:
    """A run of an original at 90 % TA and 94 % OA that a tuner brings to ``ta`` and 93.9 %."""
    point = {"ta": 0.90, "oa": 0.94, "dot_rv": 0.0}
    cost = {"params": 85618, "params_paper": 85621, "flops": 85782, "params_stored": 90000, "flops_stored": 91000}
    run = {"seed": seed, "original": point, "test": {"ta": ta, "oa": 0.939, "dot_rv": 2e-5}, "cost": cost}
    per_class = {"per_class": [0.9] * 10, "original_per_class": [0.8] * 10}
    return {**run, **per_class, "params": {"n": 7}, "scale": 4.0, "latency_us": 9.0, "latency_ratio": 1.1, **changes}


def mnist_runs() -> dict:
    """SMVT-SJ, its third rank and the original on MNIST model 1 class 5, three seeds, two columns."""
    base = {"params": 85614, "params_paper": 85614, "flops": 85778, "params_stored": 85614, "flops_stored": 85778}
    runs = {}
    for column in ("paper", "holdout"):
        for tuner, ta in (("original", 0.90), ("smvt-sj", 0.92), ("sj-k3", 0.93)):
            changes = {"cost": base, "test": {"ta": 0.90, "oa": 0.94, "dot_rv": 0.0}} if tuner == "original" else {}
            place = ("mnist", "model1", "5", tuner)
            runs[column, place] = [make_run(seed, ta + seed / 1000, **changes) for seed in range(3)]
    return runs


def named(table: Table, label: str) -> Line:
    """The line of ``table`` with this label."""
    return next(line for line in table.lines if line.label == label)


def test_published_figures_agree_with_each_other():
    """What the paper prints twice is the same in our file, and its derived figures follow from the others."""
    figures = published()
    five = figures["table4"]["mnist"]["smvt-sj"]
    for again in (figures["table8"]["model1"], figures["table9"]["5"], figures["table10"], figures["table12"]):
        assert (again["smvt-sj"]["ta"], again["smvt-sj"]["oa"]) == (five["ta"], five["oa"])
    before, after = (np.array(figures["table5"][name]) / 100 for name in ("original", "smvt-sj"))
    fashion = figures["table4"]["fashion-mnist"]
    assert dot_rv(before, after, [6])[0] == pytest.approx(fashion["smvt-sj"]["dot_rv"], rel=1e-3)
    assert (100 * before[6], 100 * after[6]) == pytest.approx((fashion["original"]["ta"], fashion["smvt-sj"]["ta"]))
    assert 100 * before.mean() == pytest.approx(fashion["original"]["oa"], abs=0.005)
    assert figures["table11"]["smvt-sj"][0] == figures["table10"]["smvt-sj"]["oa"]
    for rows in figures["table8"].values():
        new = {name: rows["smvt-sj"][name] - rows["original"][name] for name in ("params", "flops")}
        assert new["flops"] == 64 * new["params"]


def test_every_published_table_has_a_table():
    """All tables on record are shown, with a figure in every published cell."""
    tables = all_tables({}, {})
    for number in ("3", "4", "5", "6", "8", "9", "10", "11", "12"):
        assert any(table.name.startswith(f"Table {number}") for table in tables)
    assert sum(table.name.startswith("Table 4") for table in tables) == 5
    assert sum(line.published is not None for table in tables for line in table.lines) > 120


def test_p_value_of_table_11_is_recomputed():
    """The printed runs give p = 0.056 two-sided, 0.028 one-sided and 0.125 by ranks, not 0.0157."""
    table = table11(mnist_runs())
    found = [line.published for line in table.lines if line.kind == "p"]
    assert found == pytest.approx([0.056, 0.028, 0.125], abs=5e-4)
    assert "0.0157, which does not follow" in table.notes[0]


def test_flops_are_counted_both_ways():
    """7 synapses cost 448 FLOPs by the paper's convention, and ours stand beside it."""
    table = table8(mnist_runs())
    charged = named(table, "model1, SMVT-SJ, FLOPs, 64 per synapse")
    assert charged.published == 86226
    assert list(charged.ours["paper"]) == [86226] * 3
    assert list(named(table, "model1, SMVT-SJ, FLOPs, 1 per new synapse").ours["holdout"]) == [85782] * 3


def test_spread_is_the_t_interval():
    """Mean, interval of the mean and range of single runs of 1, 2, 3 against the textbook; none for one seed."""
    found = spread([1.0, 2.0, 3.0])
    assert found == pytest.approx((2, 2 - 2.4841, 2 + 2.4841, 2 - 4.9683, 2 + 4.9683), abs=1e-3)
    assert spread([1.0]) is None


@pytest.mark.parametrize(
    ("published_value", "words"),
    [(0.9201, None), (0.905, "one other seed explains it"), (0.80, "does not explain it; known cause.")],
)
def test_differences_are_told_where_they_exceed_the_interval(published_value, words):
    """Silence inside the interval; outside, whether one seed could do it, and the cause where one is known."""
    line = Line("TA", "percent", published_value, {"paper": [0.915, 0.918, 0.922, 0.925]}, "known cause")
    text = difference(line)
    assert text is None if words is None else words in text


def test_one_seed_has_no_interval():
    """A single seed shows its value alone and nothing is said about differences."""
    assert show_ours([0.9137], "percent") == "91.37"
    assert difference(Line("TA", "percent", 0.5, {"paper": [0.9]})) is None


def test_readme_shows_what_ran_and_what_did_not():
    """Published, test-selected and held-out values side by side; missing data sets and tables are named."""
    sweeps = {"figure3": {}, "figure4": {}, "figure5": None, "ranking": {}}
    absent = dict.fromkeys(dataset_names()[1:], "not on this machine")
    page = readme(Report(mnist_runs(), sweeps, absent, {}, {"torch": "x"}, 15))
    assert "| SMVT-SJ, TA %" in page
    row = next(line for line in page.splitlines() if line.startswith("| MNIST, SMVT-SJ, TA gain"))
    assert [cell.strip().split(" ")[0] for cell in row.split("|")[2:5]] == ["+1.68", "+2.10", "+2.10"]
    assert "protocol: paper (selected on test)" in page
    assert "SVHN: not run here (not on this machine)." in page
    assert "EMNIST, 47 classes, reduced: not run here" in page
    assert "9.911e-03, is an erratum" in page
    assert "nan" not in page.lower().replace("nanjing", "")


def test_scale_sweep_equals_direct_scoring():
    """TA and OA at a scale from the sorted breakpoints are those of the edited logits."""
    task = digits_task()
    weight = torch.rand(task.hidden_train.shape[1], generator=torch.Generator().manual_seed(0)) / 50
    edit = LogitEdit.of_target(task, weight)
    prober = Prober(task, Samples(task.x_valid, task.y_valid))
    scales = [0.0, 0.33, 1.0, 4.1, 25.0]
    ta, oa = prober.accuracy(edit, scales)
    for i, scale in enumerate(scales):
        logits = edited_logits(edit.scaled(scale), task.hidden_valid, task.logits_valid)
        right = logits.argmax(1) == task.y_valid
        assert ta[i] == pytest.approx(float(right[task.y_valid == 8].double().mean()))
        assert oa[i] == pytest.approx(float(right.double().mean()))
        assert prober.run(edit, {}, scale)["test"]["oa"] == pytest.approx(oa[i])
    assert ta[0] < ta[-1]


@pytest.fixture(scope="module")
def small_mnist(tmp_path_factory) -> Path:
    """Real handwritten digits, enlarged to 28 x 28, as MNIST's files."""
    digits = load_digits()
    images = np.pad(np.kron(digits.images, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2))) * 255 / 16
    root = tmp_path_factory.mktemp("data")
    (root / "MNIST" / "raw").mkdir(parents=True)
    for prefix, rows in (("train", slice(0, 1200)), ("t10k", slice(1200, None))):
        for kind, array in (("images-idx3", images[rows]), ("labels-idx1", digits.target[rows])):
            header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
            path = root / "MNIST" / "raw" / f"{prefix}-{kind}-ubyte"
            path.write_bytes(header + array.astype(np.uint8).tobytes())
    return root


def test_small_run_from_data_to_readme(small_mnist, tmp_path, tunebench, monkeypatch):
    """Both protocols run, figures are drawn, the traced training ends in the cached original; again, nothing runs."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(next(source for source in SOURCES if source.name == "mnist"), "paper_iterations", 1500)
    monkeypatch.setattr(experiments, "PARTS", (Part("mnist", "model1", ("5",), ("original", "smvt-sj"), 2),))
    command = ("paper", "--data-dir", small_mnist, "--trials", "3", "-j", "2", "-q", "-o", tmp_path)
    done = tunebench(*command)
    assert (done.code, done.err) == (0, "")
    page = (tmp_path / "README.md").read_text()
    assert "Ran: MNIST (2 seeds); 3 trials" in page
    assert "bit by bit, the same as the cached original" in page
    for number in (3, 4, 5, 6):
        assert (tmp_path / "figures" / f"figure{number}.png").stat().st_size > 5000
        assert f"(figures/figure{number}.png)" in page
    results = json.loads((tmp_path / "results.json").read_text())
    place = "mnist/model1/5/smvt-sj"
    assert [run["seed"] for run in results["runs"][f"paper/{place}"]] == [0, 1]
    for column in ("fixed", "literal"):
        assert {run["scale"] for run in results["runs"][f"{column}/{place}"]} == {4.0}
    cells = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json") if "cells" in path.parts}
    assert len(cells) == 8
    again = tunebench(*command)
    assert (again.code, again.out) == (0, done.out)
    assert {path: path.stat().st_mtime_ns for path in cells} == cells
    assert (tmp_path / "README.md").read_text() == page


@pytest.mark.parametrize(
    ("args", "said"),
    [(("-d", "mnits"), "did you mean mnist?"), (("-d", "mnist", "--data-dir", "nowhere"), "nowhere")],
)
def test_paper_refuses_in_one_line(args, said, tmp_path, tunebench, monkeypatch):
    """An unknown data set and one that is not there exit 2 with one line."""
    monkeypatch.chdir(tmp_path)
    done = tunebench("paper", "-q", *args)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


def test_missing_matplotlib_is_said_before_anything_runs(tmp_path, tunebench, monkeypatch):
    """Without the extra `plots` the command exits 2 with the line that installs it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = tunebench("paper", "-q", "-o", tmp_path / "out")
    assert done.code == 2
    assert "pip install 'tunebench[plots]'" in done.err
    assert not (tmp_path / "out").exists()
