"""The gate: what vanished, was not measured or is another experiment does not pass."""

from __future__ import annotations

import shutil

import pytest
from gate_runs import TUNER, cells, two_copies

from tunebench import gate
from tunebench.gate.runs import protocol_changes
from tunebench.results.store import Store


@pytest.fixture
def runs(digits_run, tmp_path):
    """A run and an equal baseline, both free to be changed."""
    return two_copies(digits_run, tmp_path)


def fail_cell(out, cell, status):
    """Put a cell without a result in the place of one."""
    record = Store(out).get("cells", cell)
    kept = {name: record[name] for name in ("cell", "key", "inputs", "options", "provenance") if name in record}
    Store(out).put("cells", cell, {**kept, "status": status, "reason": "no luck"})


def test_vanished_tuner_fails(tunebench, runs):
    """A tuner that the baseline has and the run has not is a regression."""
    now, base = runs
    shutil.rmtree((now / "cells" / cells(now)[0].path).parent)
    done = tunebench("gate", now, "--baseline", base)
    assert done.code == 3
    assert f"REGRESSED: {TUNER} on digits model1" in done.out
    assert "has vanished" in done.out


@pytest.mark.parametrize("status", ["error", "timeout", "skipped", "invalid"])
def test_tuner_without_a_result_fails(runs, status):
    """A cell that was ok and has no result any more is a regression, whatever the cause."""
    now, base = runs
    fail_cell(now, cells(now)[0], status)
    verdict = gate.compare(now, base, [gate.Limit.parse("ta:-0.5pt")])
    assert verdict.exit_code == 3
    assert f"is {status}: no luck" in verdict.lost[0]


@pytest.mark.parametrize("side", ["missing", "error", "skipped"])
def test_incomplete_baseline_cannot_pass(tunebench, runs, side):
    """A row that the baseline lacks leaves nothing to compare with: exit code 4."""
    now, base = runs
    cell = cells(base)[0]
    if side == "missing":
        (base / "cells" / cell.path).unlink()
    else:
        fail_cell(base, cell, side)
    done = tunebench("gate", now, "--baseline", base)
    assert done.code == 4
    assert "cannot compare: baseline incomplete" in done.out


def test_skipped_in_both_runs_passes(runs):
    """A tuner that never applied is no regression."""
    for out in runs:
        for cell in cells(out):
            fail_cell(out, cell, "skipped")
    assert gate.compare(*runs, [gate.Limit.parse("ta:-0.5pt")]).exit_code == 0


@pytest.mark.parametrize("empty", [0, 1])
def test_nothing_measured_cannot_pass(tunebench, runs, tmp_path, empty):
    """A folder without a run, as run or as baseline, gives exit code 4."""
    folders = list(runs)
    folders[empty] = tmp_path / "empty"
    folders[empty].mkdir()
    done = tunebench("gate", folders[0], "--baseline", folders[1])
    assert done.code == 4
    assert ("baseline incomplete" if empty else "nothing was measured") in done.out


@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize("kind", ["missing", "file"])
def test_what_is_no_folder_is_a_usage_error(tunebench, runs, tmp_path, wrong, kind):
    """A path that does not exist, or is a file, was mistyped: exit code 2, and the line names it."""
    folders = list(runs)
    folders[wrong] = tmp_path / kind
    if kind == "file":
        folders[wrong].write_text("no run")
    done = tunebench("gate", folders[0], "--baseline", folders[1])
    assert done.code == 2
    assert f"{folders[wrong]} is no folder" in done.err


def test_column_without_figures_cannot_pass(runs):
    """A gate on latency without a latency pass has measured nothing."""
    now, base = runs
    for out in runs:
        shutil.rmtree(out / "times")
    assert gate.compare(now, base, [gate.Limit.parse("latency_ratio:+5%")]).exit_code == 4
    assert gate.compare(now, base, [gate.Limit.parse("ta:-0.5pt")]).exit_code == 0


def test_other_protocol_cannot_be_compared(tunebench, runs, tmp_path):
    """Another number of seeds or trials is another experiment: exit code 4, and the text says which."""
    now, base = runs
    lock = Store(base).lock()
    lock["suite"]["seeds"] = 3
    lock["suite"]["trials"] = lock["inputs"]["rest"]["options"]["trials"] = 7
    Store(base).write_lock(lock)
    done = tunebench("gate", now, "--baseline", base)
    assert done.code == 4
    assert "protocol differs: seeds: 3 -> 2" in done.out
    assert "protocol differs: options.trials: 7 -> 3" in done.out


def test_an_option_that_the_baseline_does_not_know_is_no_other_protocol(runs):
    """A baseline from before an option was there is still one: what the option decides is not in it."""
    now, base = runs
    lock = Store(base).lock()
    for name in ("confidence", "recall"):
        del lock["inputs"]["rest"]["options"][name]
    assert protocol_changes(Store(now).lock(), lock) == []
    lock["inputs"]["rest"]["options"]["margin"] = "1se"
    assert protocol_changes(Store(now).lock(), lock) == ["options.margin: 1se -> none"]
