"""What cannot be run, stored or read again is refused in one line, before anything is computed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tunebench.errors import UsageError
from tunebench.grid.plan import bytes_of, check_paths
from tunebench.grid.suite import Suite, load_suite
from tunebench.naming import is_hashed, name_of, path_part
from tunebench.results.cells import Cell
from tunebench.results.store import Store, write_json

CHINESE = "\u6570\u636e" * 30


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Digits as archives in the working directory: under a Chinese name, and without a four in test or validation."""
    monkeypatch.chdir(tmp_path)
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8) * 15).astype(np.uint8)
    train, test = slice(0, 1200), slice(1200, None)
    seen = y[test] != 4
    Path(CHINESE).mkdir()
    whole = {"x_train": x[train], "y_train": y[train]}
    np.savez(f"{CHINESE}/x.npz", **whole, x_test=x[test], y_test=y[test])
    np.savez("untested.npz", **whole, x_test=x[test][seen], y_test=y[test][seen])
    parts = {"train": (x[train], y[train]), "val": (x[test][seen], y[test][seen]), "test": (x[test], y[test])}
    arrays = {
        f"{part}_{what}": a for part, pair in parts.items() for what, a in zip(("images", "labels"), pair, strict=True)
    }
    np.savez("unseen.npz", **arrays)
    return tmp_path


@pytest.mark.parametrize(
    "values",
    [
        {"seeds": 10**6},
        {"seeds": 10**400},
        {"trials": 10**7},
        {"name": "a" * 1001},
        {"name": "caf\udce9"},
        {"datasets": ("npz:\udcff.npz",)},
        {"models": ("mlp:8\x1b",)},
        {"tuners": ("a\u200fb",)},
        {"targets": ("1\n2",)},
        {"timeout": "9" * 400 + "h"},
        {"timeout": "9999999h"},
        {"budget": float("nan")},
    ],
    ids=str,
)
def test_a_suite_that_its_own_lock_could_not_hold(values):
    """Refused when it is read: no run ends with a folder that the next command cannot read."""
    with pytest.raises(UsageError) as refused:
        Suite(**values)
    assert len(str(refused.value)) < 300 + len(str(values))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#" * 8_000_000, "is larger than 1 MiB"),
        (b"seeds = " + b"9" * 5000, "not valid TOML"),
        (b"seeds = " + b"[" * 50_000, "not valid TOML"),
        (b"\xff\xfes\x00", "cannot read the suite"),
    ],
    ids=["8 MB", "a long number", "brackets", "UTF-16"],
)
def test_a_file_that_is_no_suite(tmp_path, content, said):
    """One line, whatever a file holds."""
    (tmp_path / "suite.toml").write_bytes(content)
    with pytest.raises(UsageError, match=said) as refused:
        load_suite(tmp_path / "suite.toml", {})
    assert len(str(refused.value)) < 600


def test_a_byte_order_mark_is_no_fault(tmp_path):
    """Some editors write one."""
    (tmp_path / "suite.toml").write_bytes(b"\xef\xbb\xbfseeds = 7\n")
    assert load_suite(tmp_path / "suite.toml", {}).seeds == 7


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("-d", "npz:untested.npz", "--target", "4"), "class 4 has no sample in test"),
        (("-d", "npz:untested.npz", "--target", "3+4"), "class 4 has no sample in test"),
        (("-d", "npz:untested.npz", "--target", "all"), "class 4 has no sample in test"),
        (("-d", "npz:untested.npz", "--target", "weakest:10"), "target 'weakest:10'"),
        (("-d", "npz:unseen.npz", "--target", "4"), "class 4 has no sample in validation"),
        (("-m", "mlp:1000000-1000000"), "has more than 100,000,000 parameters"),
        (("-m", "mlp:" + "9" * 90), "has more than 100,000,000 parameters"),
        (("--seeds", "9999"), "cells, more than 100,000; run it in parts"),
        (("--seeds", "9999", "--dry-run"), "cells, more than 100,000; run it in parts"),
        (("--trials", "1000000000", "--dry-run"), "trials is 1000000000; give at least 2 and at most"),
        (("--executor", "dask://127.0.0.1:1", "-d", "npz:untested.npz"), "is relative to this folder"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_refused_at_once(folder, own_cache, tunebench, flags, said):
    """Before an original is trained, and before anything is written."""
    before = sorted(own_cache.rglob("*"))
    done = tunebench("run", "--seeds", "1", *flags, "-o", "out", "-q")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not Path("out").exists()
    assert sorted(own_cache.rglob("*")) == before


def test_a_dry_run_of_a_million_seeds_answers_at_once():
    """So soon that not even torch is loaded."""
    code = (
        "import sys; from tunebench.cli import main\n"
        "try: main(['run', '--seeds', '1000000', '--dry-run'])\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr == "tunebench: seeds is 1000000; give at least 1 and at most 10,000\n"


def test_the_weakest_class_is_one_that_can_be_measured(folder, tunebench):
    """A class without a test sample is never the target that a run finds by itself."""
    done = tunebench("run", "-d", "npz:untested.npz", "-m", "mlp:2", "-t", "original", "--target", "weakest:9",
                     "--seeds", "1", "-q", "-o", "out")  # fmt: skip
    assert done.code == 0, done.err
    assert {cell.target for cell, _ in Store(Path("out")).cells()} == set("012356789")


def test_a_long_chinese_name_is_a_data_set_like_any_other(folder, tunebench):
    """Its folder has a hash, its cells know their names, and leaderboard and a second run read them."""
    name = f"npz:{folder}/{CHINESE}/x.npz"
    grid = ("run", "-d", name, "-m", "mlp:8", "-t", "original", "--seeds", "1", "--target", "1", "-q", "-o", "out")
    assert tunebench(*grid).code == 0
    assert [cell.dataset for cell, _ in Store(Path("out")).cells()] == [name]
    (place,) = Path("out/cells").iterdir()
    assert is_hashed(place.name)
    assert len(place.name) < 200
    assert name in tunebench("leaderboard", "out").out
    assert "reused, ok" in tunebench(*grid, "--explain-cache").out


def test_a_hashed_path_holds_its_own_cell_alone(tmp_path):
    """A file that was moved to the place of another name is not taken for that one's."""
    cell = Cell("npz:/" + "a" * 300, "mlp:8", "1", "original", 0)
    path = tmp_path / "cells" / cell.path
    other = tmp_path / "cells" / Cell("npz:/" + "b" * 300, "mlp:8", "1", "original", 0).path
    content = {"cell": {"dataset": cell.dataset, "model": "mlp:8", "target": "1", "tuner": "original", "seed": 0}}
    write_json(path, content)
    write_json(other, content)
    assert list(Store(tmp_path).cells()) == [(cell, path)]


@pytest.mark.parametrize("name", ["a", "npz:/x/\u6570.npz", "%", "a=b", "~", "x" * 200])
def test_short_names_are_reversible(name):
    """Paths of every published cell stay as they are."""
    assert name_of(path_part(name)) == name
    assert not is_hashed(path_part(name))


def test_two_long_names_do_not_meet():
    """Names with the same head have places of their own."""
    assert path_part("a" * 500 + "b") != path_part("a" * 500 + "c")


def test_no_size_is_beyond_the_system():
    """A limit of more bytes than a machine word counts is no limit, not an overflow."""
    assert bytes_of("999999999999999T") < 2**63


@pytest.mark.parametrize("name", ["npz:x.npz", "imagefolder:../x", "npz:./x"])
def test_a_cluster_takes_absolute_paths(name):
    """Another machine has another working directory."""
    check_paths(["mnist", "npz:/data/x.npz"])
    with pytest.raises(UsageError, match="is relative to this folder"):
        check_paths([name])
