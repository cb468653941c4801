"""The gate: what gets worse by more than its limit does not pass, and what is equal does."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from gate_runs import TUNER, cells, two_copies

from tunebench import UsageError, gate
from tunebench.results.metrics import operating_point
from tunebench.results.predictions import pack, predictions_of
from tunebench.results.store import Store


@pytest.fixture
def runs(digits_run, tmp_path):
    """A run and an equal baseline, both free to be changed."""
    return two_copies(digits_run, tmp_path)


def change_cell(out, cell, **changes):
    """Write a cell again with some values replaced."""
    Store(out).put("cells", cell, {**Store(out).get("cells", cell), **changes})


def lose_samples(out, cell, count, of_target=True):
    """Let the tuned network of ``cell`` get ``count`` samples wrong that it had right, metrics included."""
    record = Store(out).get("cells", cell)
    labels, original, tuned = predictions_of(record, "plain", "1.0")
    rows = np.flatnonzero((tuned == labels) & ((labels == cell.targets[0]) == of_target))[:count]
    tuned[rows] = (labels[rows] + 1) % 10
    point = {**record["points"]["plain"]["1.0"]}
    point["test"] = operating_point(labels, tuned, original, cell.targets, 10)
    point["predictions"] = pack(tuned, original)
    points = {**record["points"], "plain": {**record["points"]["plain"], "1.0": point}}
    change_cell(out, cell, points=points)


def scale_times(out, cell, factor, name="latency_ratio"):
    """Multiply one measured time of ``cell``."""
    times = Store(out).get("times", cell)
    Store(out).put("times", cell, {**times, name: times[name] * factor})


def time_every_seed(out):
    """Give the seeds that a run does not time the measurements of the first one."""
    store = Store(out)
    for cell, _ in store.cells():
        times = store.get("times", replace(cell, seed=0))
        store.put("times", cell, {**times, "key": store.get("cells", cell)["key"]})


def content(folder):
    """Digest of every file of a folder."""
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_equal_runs_pass(tunebench, runs):
    """A run passes against itself with exit code 0, quality and times alike, and no file changes."""
    now, base = runs
    before = content(now), content(base)
    done = tunebench("gate", now, "--baseline", base, "--fail-if", "ta:-0pt", "--fail-if", "latency_ratio:+0%")
    assert done.code == 0
    assert "gate passed: 10 cells compared, 0 figures changed" in done.out
    assert (content(now), content(base)) == before


@pytest.mark.parametrize(("lost", "of_target", "column"), [(2, True, "ta"), (2, False, "oa")])
def test_one_seed_that_is_worse_fails_by_default(tunebench, runs, lost, of_target, column):
    """Two samples lost on a single seed break the default limits: exit code 3, and the table names the figure."""
    now, base = runs
    lose_samples(now, cells(now)[1], lost, of_target)
    done = tunebench("gate", now, "--baseline", base)
    assert done.code == 3
    (line,) = [line for line in done.out.splitlines() if line.startswith("REGRESSED") and f" {column} " in line]
    assert TUNER in line
    assert " 1 " in line


def test_a_change_within_the_limit_passes_and_is_shown(tunebench, runs):
    """A limit that is wide enough lets the same loss pass, and the table still tells of it."""
    now, base = runs
    lose_samples(now, cells(now)[0], 1)
    done = tunebench("gate", now, "--baseline", base, "--fail-if", "ta:-3pt")
    assert done.code == 0
    assert "1 figures changed" in done.out
    assert "REGRESSED" not in done.out


def test_better_is_not_worse(runs):
    """The sign of a limit is its bad direction: what rises does not break a limit on falling."""
    now, base = runs
    lose_samples(base, cells(base)[0], 5)
    verdict = gate.compare(now, base, [gate.Limit.parse("ta:-0.5pt")])
    assert verdict.changes
    assert verdict.exit_code == 0


@pytest.mark.parametrize(
    ("text", "before", "now", "broken"),
    [
        ("ta:-0.5pt", 0.800, 0.795, False),
        ("ta:-0.5pt", 0.800, 0.7949, True),
        ("ta:-0pt", 0.8, 0.8 - 1e-6, True),
        ("params:+1%", 1000.0, 1010.0, False),
        ("params:+1%", 1000.0, 1011.0, True),
        ("params:+0", 1000.0, 1001.0, True),
        ("dot_rv:+10%", 0.0, 1e-6, True),
        ("dot_rv:+10%", 0.0, 0.0, False),
        ("dot_rv:+1e-5", 0.0, 1e-6, None),
    ],
)
def test_limits_are_exact(text, before, now, broken):
    """Points, per cent and plain units, at and beyond the limit; exponents are not a way to write one."""
    if broken is None:
        with pytest.raises(UsageError, match="write COLUMN:CHANGE"):
            gate.Limit.parse(text)
    else:
        assert gate.Limit.parse(text).broken(before, now) is broken


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ta", "write COLUMN:CHANGE"),
        ("ta:0.5pt", "sign"),
        ("tta:-0.5pt", "did you mean ta"),
        ("reason:-1", "unknown column"),
        ("rank:+1", "unknown column"),
        ("latency_ratio:+0.1", "as a ratio; write latency_ratio:+5%"),
        ("ta:+0.5pt", "worse when it falls, so this would never fire; write ta:-0.5pt"),
        ("over_budget:-5pt", "worse when it rises, so this would never fire; write over_budget:+5pt"),
        ("latency_ratio:-5%", "worse when it rises, so this would never fire; write latency_ratio:+5%"),
        ("params:-1%", "write params:+1%"),
        ("ta:-5", "a fraction; write ta:-5pt for percentage points or ta:-5% of the baseline"),
        ("ta_gain_shifted:-0.005", "write ta_gain_shifted:-0.005pt for percentage points"),
        ("fell_back:+1", "write fell_back:+1pt"),
        ("params:+5pt", "no points; write params:+5 or params:+5%"),
        ("dot_rv:+5pt", "no points"),
        ("ta:-100%", "cannot move that far"),
        ("oa:-150pt", "cannot move that far"),
        ("worst_class:+1", "unknown column"),
        ("target_name:+1", "unknown column"),
        ("ta:-\u0665pt", "write COLUMN:CHANGE"),
    ],
)
def test_wrong_limits_are_usage_errors(tunebench, runs, text, message):
    """A limit that cannot be meant is refused before anything is read: exit code 2, one line."""
    done = tunebench("gate", runs[0], "--baseline", runs[1], "--fail-if", text)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_slower_on_every_seed_fails_and_on_one_does_not(runs):
    """A ratio regresses when all seeds are slower by more than limit and noise; one odd measurement is noise."""
    now, base = runs
    for out in runs:
        time_every_seed(out)
    limit = [gate.Limit.parse("latency_ratio:+5%")]
    scale_times(now, cells(now)[0], 1.5)
    assert gate.compare(now, base, limit).exit_code == 0
    scale_times(now, cells(now)[1], 1.5)
    verdict = gate.compare(now, base, limit)
    assert verdict.exit_code == 3
    assert [change.place[3] for change in verdict.regressions] == [TUNER]


def test_absolute_times_hold_on_one_machine_only(runs):
    """Seconds are compared where both runs come from one machine, and are a gap otherwise."""
    now, base = runs
    limit = [gate.Limit.parse("tune_seconds:+50%")]
    for cell in cells(now):
        change_cell(now, cell, tune_seconds=10 * Store(now).get("cells", cell)["tune_seconds"])
    assert gate.compare(now, base, limit).exit_code == 3
    for cell, _ in Store(base).cells():
        origin = Store(base).get("cells", cell)["provenance"]
        change_cell(base, cell, provenance={**origin, "cpu": "another"})
    verdict = gate.compare(now, base, limit)
    assert verdict.exit_code == 4
    assert "another machine" in verdict.gaps[0]


def test_regression_is_told_before_a_gap(runs):
    """Where both happen the exit code is 3."""
    now, base = runs
    lose_samples(now, cells(now)[0], 5)
    (base / "cells" / cells(base, "smvt-sj")[0].path).unlink()
    verdict = gate.compare(now, base, [gate.Limit.parse("ta:-0.5pt")])
    assert verdict.gaps
    assert verdict.exit_code == 3


def test_gate_imports_no_torch():
    """The gate of a CI job starts without torch."""
    code = (
        "import sys, tunebench.gate; sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'optuna', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
