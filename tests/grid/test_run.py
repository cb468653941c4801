"""Whole runs: the same figures twice, failures that stay in their rows, a wheel far from home, the real MNIST."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tunebench.boards.leaderboard import COLUMNS

ROOT = Path(__file__).parents[2]
MISBEHAVING = """
import copy
from tunebench import Tuner

class Base(Tuner):
    name = "base"
    def misbehave(self, task):
        pass

    def tune(self, task, params, prepared):
        self.misbehave(task)
        return copy.deepcopy(task.model)

class Raises(Base):
    name = "raises"
    def misbehave(self, task):
        raise ValueError("no luck")

class Exits(Base):
    name = "exits"
    def misbehave(self, task):
        raise SystemExit(0)

class Changes(Base):
    name = "changes"
    def misbehave(self, task):
        task.x_valid[0, 0, 0, 0] += 1

class Refuses(Base):
    name = "refuses"
    def skip(self, task):
        return "not today"
"""


def run_apart(*args, cache, **options):
    """Run ``tunebench ARGS`` in a process of its own with a cache of its own."""
    env = {**os.environ, "XDG_CACHE_HOME": str(cache), **options.pop("env", {})}
    command = [sys.executable, "-m", "tunebench", *map(str, args)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, **options)


def rows_of(out):
    """Rows of leaderboard.csv."""
    with (out / "leaderboard.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def is_time(column):
    """Whether a column may vary between two runs."""
    return column.endswith("_seconds") or "latency" in column


def test_the_same_command_twice(digits_run, digits_command, tmp_path):
    """Trained anew in another process and another cache, with one worker for two: every figure but times is equal."""
    done = run_apart(*digits_command, "-j", "1", "-o", tmp_path / "again", cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    first, again = rows_of(digits_run), rows_of(tmp_path / "again")
    assert len(first) == len(again) == 5
    for a, b in zip(first, again, strict=True):
        assert {k: v for k, v in a.items() if not is_time(k)} == {k: v for k, v in b.items() if not is_time(k)}
    assert {column for column in COLUMNS if is_time(column)} == {
        "latency_us", "latency_ratio", "latency_batch_us", "latency_batch_ratio", "tune_seconds",
    }  # fmt: skip


def test_weakest_is_resolved_once(digits_run):
    """The class is in the lock, in every cell's place and in every row."""
    lock = json.loads((digits_run / "suite.lock.json").read_text("utf-8"))["content"]
    (target,) = lock["targets"]["digits/model1"]
    assert lock["suite"]["targets"] == ["weakest"]
    assert {row["target"] for row in rows_of(digits_run)} == {target}
    assert [path.name for path in (digits_run / "cells" / "digits" / "model1").iterdir()] == [target]


def test_one_file_per_cell(digits_run):
    """Five tuners and two seeds are ten cells; latency is measured once per row, on the first seed."""
    tuners = ("cw-p", "logit-bias", "original", "random-synapses", "smvt-sj")
    for folder, seeds in (("cells", (0, 1)), ("times", (0,))):
        found = sorted((path.parent.name, path.name) for path in (digits_run / folder).rglob("*.json"))
        assert found == [(tuner, f"{seed}.json") for tuner in tuners for seed in seeds]
    assert all(float(row["latency_us"]) > 0 and float(row["latency_ratio"]) > 0 for row in rows_of(digits_run))


def test_finished_cells_are_never_run_again(tunebench, digits_run, digits_command, tmp_path):
    """The same command again computes nothing and prints the same leaderboard."""
    out = tmp_path / "run"
    shutil.copytree(digits_run, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*/*.json")}
    done = tunebench(*digits_command, "-j", "2", "-o", out)
    assert done.code == 0, done.err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*/*.json")} == before
    assert (out / "leaderboard.csv").read_bytes() == (digits_run / "leaderboard.csv").read_bytes()


def test_latency_can_wait(tunebench, digits_run, tmp_path):
    """--no-latency measures none; the same command without it measures what is missing and computes nothing again."""
    shutil.copytree(digits_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "times")
    again = ("run", "-d", "digits", "-m", "model1", "--seeds", "2", "--trials", "3", "--budget", "1.0", "-q")
    again += ("-t", "original", "-o", tmp_path / "run")
    for flags, measured in (["--no-latency"], False), ([], True):
        done = tunebench(*again, *flags)
        assert done.code == 0, done.err
        (row,) = rows_of(tmp_path / "run")
        assert bool(row["latency_ratio"]) == measured


def test_a_tuner_that_fails_is_a_row(tunebench, tmp_path):
    """Cells that raise, exit or change the task get a status and a reason; the others are ranked; exit code 1."""
    plugin = tmp_path / "misbehaving.py"
    plugin.write_text(MISBEHAVING)
    out = tmp_path / "out"
    chosen = [flag for name in ("raises", "exits", "changes", "refuses", "base") for flag in ("-t", name)]
    done = tunebench("run", "-m", "mlp:12-8", "--seeds", "1", *chosen, "--plugin", plugin, "-o", out, "-q", "-j", "2")
    assert done.code == 1, done.err
    rows = {row["tuner"]: row for row in rows_of(out)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "base": "ok", "changes": "invalid", "exits": "error", "raises": "error", "refuses": "skipped",
    }  # fmt: skip
    assert rows["raises"]["reason"] == "ValueError: no luck"
    assert "was changed; work on a copy" in rows["changes"]["reason"]
    assert rows["exits"]["reason"].startswith("SystemExit")
    assert rows["refuses"]["reason"] == "not today"
    assert [name for name, row in rows.items() if row["rank"]] == ["base"]
    assert "2 error, 1 invalid, 1 ok, 1 skipped" in done.out


def test_the_wheel_runs_the_embedded_suite(own_cache, tmp_path):
    """Built from nothing but the package's files, a wheel far from the checkout runs what `tunebench run` runs."""
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("tunebench", "plugins"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path, source]
    subprocess.run(wheel, check=True, cwd=tmp_path)
    (built,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", site, built], check=True, cwd=tmp_path)
    assert (site / "tunebench" / "py.typed").is_file()
    # PYTHONPATH comes before what is installed, which keeps the checkout out.
    env = {"PYTHONPATH": str(site)}
    where = [sys.executable, "-c", "import tunebench, tunebench_synapse as s; print(tunebench.__file__, s.__file__)"]
    found = subprocess.check_output(where, env={**os.environ, **env}, cwd=tmp_path, text=True)
    assert found.count(str(site)) == 2
    run = ("run", "-t", "original", "--seeds", "1", "-o", "out", "-j", "2")
    done = run_apart(*run, cache=own_cache.parent, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert [(row["model"], row["tuner"], row["status"]) for row in rows_of(tmp_path / "out")] == [
        ("model1", "original", "ok"), ("model2", "original", "ok"),
    ]  # fmt: skip
    assert "2 ok; out" in done.stdout
    assert (tmp_path / "out" / "index.html").is_file()


def test_the_real_mnist(tunebench, mnist, tmp_path):
    """Model 1 by the paper's recipe reaches the paper's accuracy on the real MNIST, and the grid runs on it."""
    flags = ("-t", "original", "-t", "smvt-sj", "--seeds", "1", "--trials", "4", "--target", "5")
    place = ("--data-dir", mnist, "-o", tmp_path / "out", "-q", "-j", "1")
    done = tunebench("run", "-d", "mnist", "-m", "model1", *flags, *place)
    assert done.code == 0, done.err
    rows = {row["tuner"]: row for row in rows_of(tmp_path / "out")}
    assert 0.930 <= float(rows["original"]["oa"]) <= 0.944
    assert (rows["original"]["params"], rows["original"]["flops"]) == ("85614.0", "85778.0")
    assert abs(float(rows["smvt-sj"]["oa_gain"])) < 0.01
    assert 85_614 <= float(rows["smvt-sj"]["params"]) <= 85_614 + 24
