"""Trained originals: what decides them, where they lie, and that each is trained once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from digits import make_task
from safetensors.torch import load_file, save_file

from tunebench import StoreError, UsageError
from tunebench.cache import cache_root, cached_folder
from tunebench.datasets import Place, open_dataset
from tunebench.networks import originals, recipes
from tunebench.networks.activations import activations
from tunebench.networks.models import ModelSpec, find_model
from tunebench.networks.originals import ensure_original, load_original, load_split, original_key
from tunebench.networks.recipes import Recipe, find_recipe

BRIEF = Recipe("quick", lr=0.05, steps=30)
SPEC = find_model("mlp:12-8")


@pytest.fixture(scope="module")
def digits():
    """The embedded data set, also as tensors in the cache."""
    dataset = open_dataset("digits", Place(None))
    originals.materialise(dataset)
    return dataset


@pytest.fixture
def key(digits):
    """The key of a small original."""
    return original_key(digits, SPEC, BRIEF, "holdout", 0)


def test_a_cached_original_is_the_trained_one(key, digits):
    """Network, tables and record come back from the cache as they were trained, and agree with one another."""
    record = ensure_original(key, SPEC)
    model, tables = load_original(key, SPEC)
    assert not model.training
    data = digits.train()
    for split in ("train", "valid"):
        rows = tables[f"{split}_rows"]
        seen = activations(model, data.x[rows])
        torch.testing.assert_close(tables[f"logits_{split}"], seen.logits)
        torch.testing.assert_close(tables[f"hidden_{split}"], seen.hidden)
    right = tables["logits_valid"].argmax(1) == data.y[tables["valid_rows"]]
    assert sum(record["valid_hits"]) == int(right.sum())
    assert sum(record["valid_totals"]) == len(data.y) // 3
    both = torch.cat([tables["train_rows"], tables["valid_rows"]])
    assert both.sort().values.tolist() == list(range(len(data.y)))


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("hidden_valid", lambda t: t[:-1]),
        ("hidden_train", lambda t: t[:, :-1]),
        ("logits_train", lambda t: t.long()),
        ("train_rows", lambda t: t[:-1]),
        ("layer_of", lambda t: t.float()),
    ],
)
def test_a_damaged_original_is_noticed_and_trained_anew(key, table, change):
    """Tables that do not fit together are refused where they are used, and made again by the next run."""
    ensure_original(key, SPEC)
    path = key.folder / "activations.safetensors"
    whole = {name: tensor.clone() for name, tensor in load_file(path).items()}
    save_file({**whole, table: change(whole[table]).contiguous()}, path)
    with pytest.raises(StoreError, match="cannot be used"):
        load_original(key, SPEC)
    ensure_original(key, SPEC)
    assert all(torch.equal(tensor, whole[name]) for name, tensor in load_original(key, SPEC)[1].items())


def test_damaged_data_are_written_again(key, digits):
    """So is a data set in the cache whose labels are cut; the original is not trained for that."""
    ensure_original(key, SPEC)
    before = (key.folder / "model.safetensors").stat().st_mtime_ns
    path = originals.data_folder(digits.checksum) / "train.safetensors"
    whole = {name: tensor.clone() for name, tensor in load_file(path).items()}
    save_file({**whole, "y": whole["y"][:-1].clone()}, path)
    with pytest.raises(StoreError, match=r"train\.safetensors does not hold inputs and labels that fit"):
        load_original(key, SPEC)
    originals.materialise(digits)
    ensure_original(key, SPEC)
    assert torch.equal(load_split(digits.checksum, "train").y, whole["y"])
    assert (key.folder / "model.safetensors").stat().st_mtime_ns == before


def test_other_code_is_refused(key, digits):
    """A worker whose network was built by other code than the run's does not mix its weights with it."""
    ours = replace(SPEC, code="a")
    other = original_key(digits, ours, BRIEF, "holdout", 0)
    assert other.folder != key.folder
    ensure_original(other, ours)
    load_original(other, ours)
    with pytest.raises(UsageError, match="the code of network 'mlp:12-8' is not what the run began with"):
        load_original(other, replace(SPEC, code="b"))


def test_the_paper_protocol_trains_on_all_of_train(key, digits):
    """Under --protocol paper nothing is held out, selection is on test, and the original lies apart."""
    paper = replace(key, protocol="paper")
    assert paper.folder != key.folder
    record = ensure_original(paper, SPEC)
    _, tables = load_original(paper, SPEC)
    assert len(tables["train_rows"]) == digits.train_size
    assert sum(record["valid_totals"]) == len(digits.test().y)


def test_what_decides_an_original(key, digits):
    """Data, network, recipe, protocol and seed give another original; nothing about a tuner is in the key."""
    others = [
        replace(key, data="0" * 64),
        replace(key, seed=1),
        replace(key, protocol="paper"),
        replace(key, recipe=replace(BRIEF, steps=31)),
        original_key(digits, find_model("mlp:12-9"), BRIEF, "holdout", 0),
    ]
    assert len({key.folder, *(other.folder for other in others)}) == 6
    assert original_key(digits, SPEC, BRIEF, "holdout", 0).folder == key.folder
    assert set(key.facts) == {"data", "dataset", "model", "architecture", "recipe", "protocol", "seed"}


def test_the_seed_fixes_the_network(key, digits, monkeypatch, tmp_path):
    """Trained again from nothing, whatever the global random state, an original is bitwise the same."""
    ensure_original(key, SPEC)
    first, _ = load_original(key, SPEC)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    originals.materialise(digits)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    ensure_original(key, SPEC)
    assert torch.equal(torch.get_rng_state(), state)
    again, _ = load_original(key, SPEC)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_two_askers_train_once(digits):
    """Two that ask for one original at the same time get the same one, trained by one of them."""
    built = []

    def build(shape, classes):
        built.append(shape)
        return SPEC.build(shape, classes)

    spec = ModelSpec("mlp:12-8", build)
    key = original_key(digits, spec, replace(BRIEF, steps=400), "holdout", 7)
    built.clear()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: ensure_original(key, spec), range(2))
    assert first == second
    assert len(built) == 1


def test_two_processes_build_a_folder_once(tmp_path):
    """Two processes that ask for one folder at the same time both find it complete, and one of them built it."""
    code = """
import sys, time
from pathlib import Path
from tunebench.cache import cached_folder
root = Path(sys.argv[1])
def build(folder):
    with open(root / "builds", "a") as log:
        log.write("built\\n")
    time.sleep(0.5)
    (folder / "content").write_text("all of it")
print((cached_folder(root / "cache" / "thing", build) / "content").read_text())
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in both] == ["all of it"] * 2
    assert (tmp_path / "builds").read_text() == "built\n"


def test_a_failed_build_leaves_nothing(tmp_path):
    """A folder appears complete or not at all, and the next one who asks can build it."""

    def fails(folder):
        (folder / "half").touch()
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        cached_folder(tmp_path / "thing", fails)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    done = cached_folder(tmp_path / "thing", lambda folder: (folder / "whole").touch())
    assert [path.name for path in done.iterdir()] == ["whole"]


def test_a_cache_that_cannot_be_written_says_where(tmp_path):
    """The folder and the way out are named."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write the cache .*file.*XDG_CACHE_HOME"):
        cached_folder(tmp_path / "file" / "thing", lambda folder: None)


def test_the_cache_is_the_tests_own(own_cache):
    """Tests never touch the user's cache."""
    assert cache_root() == own_cache


@pytest.mark.parametrize(
    ("name", "iterations", "expected"),
    [
        (None, 32_000, Recipe("paper", lr=0.001, steps=32_000)),
        ("paper", 227_000, Recipe("paper", lr=0.001, steps=227_000)),
        (None, None, Recipe("quick", lr=0.05, steps=20 * 13)),
        ("quick", 32_000, Recipe("quick", lr=0.05, steps=20 * 13)),
        ("converged", None, Recipe("converged", lr=0.1, patience=10)),
    ],
)
def test_recipes(name, iterations, expected):
    """The published recipe is the default where there is one; quick is at most 20 epochs of batch 64."""
    assert find_recipe(name, iterations, "x", 799) == expected


def test_no_published_recipe():
    """Asking for the paper's recipe of other data says what to use instead."""
    with pytest.raises(UsageError, match="no published recipe for 'digits'; use --recipe quick, converged or light"):
        find_recipe("paper", None, "digits", 799)


def test_converged_stops_on_training_data_alone(key, monkeypatch):
    """The converged recipe ends by itself, is better than a brief one, and never looks at the validation rows."""
    asked = []
    real = recipes.forward
    monkeypatch.setattr(recipes, "forward", lambda model, x: asked.append(x) or real(model, x))
    converged = replace(key, recipe=Recipe("converged", lr=0.1, patience=3))
    record = ensure_original(converged, SPEC)
    assert record["steps"] % 12 == 0  # epochs of 720 samples: a tenth of 799 decides when to stop
    assert sum(record["valid_hits"]) > sum(ensure_original(key, SPEC)["valid_hits"])
    _, tables = load_original(converged, SPEC)
    held_out = {row.numpy().tobytes() for row in load_split(key.data, "train").x[tables["valid_rows"]]}
    seen = {row.numpy().tobytes() for x in asked for row in x}
    assert len(asked) == record["steps"] // 12
    assert not seen & held_out


def test_the_small_task_of_other_tests_is_like_a_real_one(key, digits):
    """`digits.make_task` fills the fields that the host fills, with the same shapes and types."""
    from tunebench.grid.tasks import load_task

    ensure_original(key, SPEC)
    real = load_task(key, SPEC, (8,), "sj", torch.device("cpu"))
    small = make_task(real.model, (8,))
    for name, value in vars(real).items():
        mine = getattr(small, name)
        assert type(mine) is type(value)
        if isinstance(value, torch.Tensor):
            assert (mine.dtype, mine.shape[1:]) == (value.dtype, value.shape[1:])


def test_later_fields_leave_old_keys_alone(key):
    """A key with the default number of hidden units and no given weights names the folder that it always named."""
    assert "max_hidden" not in key.facts
    assert "weights" not in key.facts["recipe"]
    fewer = replace(key, max_hidden=50)
    assert fewer.facts["max_hidden"] == 50
    assert fewer.folder != key.folder
    given = replace(key, recipe=replace(key.recipe, weights="0" * 64))
    assert given.folder != key.folder
