"""What runs on an accelerator, held against the CPU; skipped where there is none."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
import torch
from tunebench_synapse import StreamingEvaluator

from tunebench.datasets import Place, open_dataset
from tunebench.grid.provenance import settle
from tunebench.networks.compressed import network_of
from tunebench.networks.models import find_model
from tunebench.networks.originals import ensure_original, load_original, materialise, original_key
from tunebench.networks.probe import built
from tunebench.networks.recipes import find_recipe
from tunebench.plugins import load_registry
from tunebench.selection.search import search
from tunebench.selection.selector import SearchOptions
from tunebench.testing import small_task

LIGHT = find_recipe("light", None, "digits", 1198)
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that this torch can use")


def test_evaluation_agrees():
    """Thresholds and counts of all targets and ranks on the GPU are those of the CPU."""
    task = small_task()
    results = []
    for device in ("cpu", "cuda"):
        stream = StreamingEvaluator(None, 8)
        for rows in torch.split(torch.arange(len(task.y_train)), 200):
            stream.update(*(t[rows].to(device) for t in (task.hidden_train, task.logits_train, task.y_train)))
        results.append(stream.result())
    cpu, gpu = results
    assert gpu.threshold.is_cuda
    assert torch.allclose(gpu.threshold.cpu(), cpu.threshold, rtol=1e-5)
    assert torch.equal(gpu.count.cpu(), cpu.count)


@pytest.mark.parametrize("name", ["smvt-sj", "logit-bias", "cw-p", "weighted-finetune"])
def test_a_search_agrees(name):
    """A search on the GPU keeps the budget, and chooses as many target samples as on the CPU, give or take rounding."""
    found = []
    for device in ("cpu", "cuda"):
        task = small_task(device=device)
        chosen = search(load_registry().tuner(name), task, SearchOptions(trials=6, budget=1.0)).chosen["plain"][1.0]
        assert chosen.score.lost - chosen.score.gained <= len(task.y_valid) // 100
        found.append(chosen.score.hits)
    assert abs(found[0] - found[1]) <= 1


@pytest.mark.parametrize("name", ["lenet", "mobilenet_v2"])
def test_logits_do_not_hang_on_the_batch(name):
    """A sample alone has the logits that it has among others: what was scored is what comes home."""
    settle()
    torch.manual_seed(0)
    model, x = built(find_model(name), (3, 32, 32), 10).cuda().eval(), torch.randn(256, 3, 32, 32, device="cuda")
    with torch.no_grad():
        together, alone = model(x), torch.cat([model(x[i : i + 1]) for i in range(16)])
    assert torch.allclose(together[:16], alone, rtol=1e-4, atol=1e-5)


def test_a_run(tunebench, tmp_path):
    """`--device cuda` runs a grid to its leaderboard."""
    flags = (
        "-m", "mlp:8", "-m", "lenet", "-t", "original", "-t", "smvt-sj", "--seeds", "1", "--trials", "3", "-q",
        "-o", tmp_path,
    )  # fmt: skip
    done = tunebench("run", "-d", "digits", "--device", "cuda", *flags)
    assert done.code == 0, done.err
    with (tmp_path / "leaderboard.csv").open() as rows:
        assert {row["status"] for row in csv.DictReader(rows)} == {"ok"}


@pytest.mark.parametrize("name", ["model1", "lenet", "shufflenet_v2_x0_5"])
def test_originals_are_trained_there(name, tmp_path, monkeypatch):
    """On the GPU the recipe of a network leads to one as good as on the CPU, and its tables come home."""
    digits, spec = open_dataset("digits", Place(None)), find_model(name)
    key, found = original_key(digits, spec, replace(LIGHT, steps=150), "holdout", 0), []
    for device in ("cpu", "cuda"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / device))
        materialise(digits)
        record = ensure_original(key, spec, device=device)
        model, tables = load_original(key, spec)
        assert {t.device.type for t in (*model.state_dict().values(), *tables.values())} == {"cpu"}
        found.append(sum(record["valid_hits"]) / sum(record["valid_totals"]))
    assert min(found) > 0.8
    assert abs(found[0] - found[1]) < 0.1


@pytest.mark.parametrize("name", sorted(load_registry().compressions))
def test_compressed_originals_are_made_there(name, tmp_path, monkeypatch):
    """From a parent trained on the GPU, and their tables come home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    digits, spec = open_dataset("digits", Place(None)), network_of(f"lenet+{name}", load_registry())
    key = original_key(digits, spec, replace(LIGHT, steps=150), "holdout", 0)
    materialise(digits)
    record = ensure_original(key, spec, device="cuda")
    model, tables = load_original(key, spec)
    assert {t.device.type for t in (*model.state_dict().values(), *tables.values())} == {"cpu"}
    assert sum(record["valid_hits"]) / sum(record["valid_totals"]) > 0.5
