"""What a next run, or a board, takes of the files that are there, and what it says of the others."""

from __future__ import annotations

import shutil

from conftest import run_command

from tunebench.boards import leaderboard
from tunebench.results.cells import key_of
from tunebench.results.store import SCHEMA, Store, read_json

SAME = ("run", "-d", "digits", "-m", "model1", "--seeds", "2", "--budget", "1.0", "-t", "original", "-q")
"""Part of the grid of `digits_run`."""


def test_damaged_and_outdated_files_are_set_aside_and_computed_again(digits_run, tmp_path):
    """The next run names each unusable file, keeps it under another name, and computes the same result."""
    out = tmp_path / "out"
    shutil.copytree(digits_run, out)
    first, second = sorted(out.glob("cells/**/original/*.json"))
    before = read_json(first)
    first.write_text("{}")
    second.write_text(second.read_text().replace(f'"schema": {SCHEMA}', '"schema": 1', 1))
    done = run_command(*SAME, "--trials", "3", "-o", out, "--explain-cache")
    assert done.code == 0, done.err
    assert f"{first}: not a tunebench file; moved to 0.damaged" in done.err
    assert "written with schema 1, this version reads" in done.err
    assert "its file was unusable" in done.out
    assert first.with_suffix(".damaged").read_text() == "{}"
    again = read_json(first)
    assert {k: v for k, v in again.items() if k != "tune_seconds"} == {
        k: v for k, v in before.items() if k != "tune_seconds"
    }


def test_why_a_cell_is_computed_again(digits_run, tmp_path):
    """--explain-cache names the part of the key that differs."""
    out = tmp_path / "out"
    shutil.copytree(digits_run, out)
    same = run_command(*SAME, "--trials", "3", "-o", out, "--explain-cache")
    assert same.out.count("reused, ok") == 2
    other = run_command(*SAME, "--trials", "4", "-o", out, "--explain-cache")
    assert other.out.count("computed, options.trials: 3 -> 4") == 2


def test_cells_of_other_inputs_are_not_averaged(digits_run, tmp_path):
    """A cell that another version of a tuner computed is named and not counted in the row."""
    out = tmp_path / "out"
    shutil.copytree(digits_run, out)
    store = Store(out)
    cell = next(cell for cell, _ in store.cells() if cell.tuner == "smvt-sj")
    record = store.get("cells", cell)
    record["inputs"]["tuner"] = "0" * 64
    store.put("cells", cell, {**record, "key": key_of(record["inputs"])})
    board = leaderboard.build(out)
    row = next(row for row in board.rows if row["tuner"] == "smvt-sj")
    assert (row["seeds"], row["rank"]) == (1, None)
    assert any("1 cells from other inputs: tuner: 000000000... ->" in note for note in board.notes)


def test_originals_of_other_machines_are_told(digits_run, tmp_path):
    """When two machines trained one original to different weights, the leaderboard says so."""
    out = tmp_path / "out"
    shutil.copytree(digits_run, out)
    store = Store(out)
    cell = next(cell for cell, _ in store.cells() if cell.seed == 1)
    record = store.get("cells", cell)
    store.put("cells", cell, {**record, "provenance": {**record["provenance"], "original": "f" * 64}})
    notes = leaderboard.build(out).notes
    assert any(note.startswith("digits model1 seed 1: machines trained 2 different originals") for note in notes)
    assert not any(note.startswith("digits model1 seed 0: machines") for note in notes)
