"""Records and locks of strangers, held against each other: what is forged is named and not counted."""

from __future__ import annotations

import copy
import json

import forgeries
import pytest
from conftest import run_command

from tunebench import StoreError
from tunebench.boards import leaderboard
from tunebench.results.records import MOST_CELLS
from tunebench.results.shapes import SPARE, Damaged
from tunebench.results.store import MOST_VALUES, Store, read_json

ALONE = {
    "trials forged up": (("trials",), 1),
    "trials forged down": (("trials",), 0),
    "a history that skips": (("history", 0, "trial"), 2),
    "a history cut": (("history",), []),
    "a score of two counts": (("history", 0, "score"), [1, 2]),
    "fell_back hidden": (("points", "plain", "1.0", "fell_back"), None),
    "a trial that there was not": (("points", "plain", "1.0", "trial"), 9),
    "parameters of no trial": (("points", "plain", "1.0", "params"), {"n": 99999}),
    "more hits on validation": (("points", "plain", "1.0", "valid", "hits"), 10**6),
    "right samples that do not add up": (("points", "plain", "1.0", "valid", "correct"), 1),
    "worse than the original": (("points", "shifted", "1.0", "valid", "hits"), 0),
    "a shift of a plain choice": (("points", "plain", "1.0", "shift"), 1.5),
    "an interpolated plain choice": (("points", "plain", "1.0", "share"), 0.5),
    "an interpolated shift": (("points", "shifted", "1.0", "share"), 0.5),
    "interpolation that loses to shifted": (("points", "interpolated", "1.0"), "0.0"),
    "a share out of range": (("points", "interpolated", "1.0", "share"), -0.5),
    "one budget more": (("points", "plain", "7.5"), "1.0"),
    "a thousand budgets": (("points", "shifted"), 1000),
    "no budget of the suite": (("points", "plain"), {}),
    "a variant that nobody knows": (("points", "best-of-all"), "plain"),
    "too many fields": (("extra",), SPARE + 50),
    "too many fields of a choice": (("points", "plain", "1.0", "extra"), SPARE + 50),
    "selected on test": (("selected_on",), "test"),
    "other options": (("options", "trials"), 1000),
    "a split as text": (("provenance", "split"), {"valid": "x", "test": 1, "train": 1}),
    "a split of another size": (("provenance", "split", "test"), 12),
    "validation counts of three": (("original", "valid"), [1, 2, 3]),
    "classes that the target exceeds": (("classes",), 2),
}
"""Where a record is changed, and to what; see `spoiled` for values that stand for something."""


def spoiled(record, case):
    """A copy of ``record`` with the change of ``ALONE[case]``."""
    path, value = ALONE[case]
    record = copy.deepcopy(record)
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        value = not inner[path[-1]]
    elif path[0] == "points" and isinstance(value, str):
        value = inner[value]
    elif value == 1000 and path[-1] == "shifted":
        value = inner["shifted"] | {str(float(k + 2)): inner["shifted"]["1.0"] for k in range(value)}
    elif path[-1] == "extra":
        inner |= {f"field-{k}": k for k in range(value)}
        return record
    elif path == ("trials",):
        value = record["trials"] + (1 if value else -1)
    inner[path[-1]] = value
    return record


@pytest.mark.parametrize("case", ALONE)
def test_a_record_that_contradicts_itself_is_refused(digits_run, tmp_path, case):
    """Whoever signed it: what can be computed from the rest of the file is, and has to agree."""
    store = forgeries.copied(digits_run, tmp_path / "out")
    cell = forgeries.cells(store, "cw-p")[0]
    store.put("cells", cell, spoiled(store.get("cells", cell), case))
    with pytest.raises(Damaged):
        store.get("cells", cell)
    board = leaderboard.build(store.out)
    assert any("is not counted" in note for note in board.notes)
    assert [row["seeds"] for row in board.rows if row["tuner"] == "cw-p"] == [1]


TOGETHER = {
    "easier labels": (forgeries.easier_labels, "logit-bias", "test labels"),
    "fewer samples": (forgeries.fewer_samples, "logit-bias", "test labels"),
    "a weaker original": (forgeries.weaker_original, "logit-bias", "the original's predictions"),
    "weaker on validation": (forgeries.weaker_on_validation, "logit-bias", "the original's counts on validation"),
    "another budget": (forgeries.another_budget, "logit-bias", "options.budget"),
}
"""How a record is forged so that it is sound alone, whose, and what the remark names."""


@pytest.mark.parametrize("case", TOGETHER)
def test_a_record_that_contradicts_the_others_is_not_counted(digits_run, tmp_path, case):
    """A record that is sound alone is held against the others; leaderboard, gate and merge see the same."""
    forge, tuner, what = TOGETHER[case]
    store = forgeries.copied(digits_run, tmp_path / "out")
    cell = forgeries.cells(store, tuner)[0]
    store.put("cells", cell, forge(copy.deepcopy(store.get("cells", cell))))
    assert store.get("cells", cell), "sound alone"
    board = leaderboard.build(store.out)
    assert any(note.startswith("not counted, 1 cells") and what in note for note in board.notes), board.notes
    rows = {row["tuner"]: row for row in board.rows}
    assert (rows[tuner]["seeds"], rows[tuner]["rank"]) == (1, None)
    done = run_command("gate", store.out, "--baseline", digits_run)
    assert done.code == 3
    assert f"{tuner} on digits model1 class {cell.target}, seed 0 has vanished" in done.out
    assert what in done.out
    done = run_command("merge", store.out, "-o", tmp_path / "merged")
    assert (done.code, done.err.count("is left out")) == (0, 1)
    assert cell not in dict(Store(tmp_path / "merged").cells())


def test_an_original_costs_the_same_in_all_cells(digits_run, tmp_path):
    """A cell that fell back to the original cannot make it cheaper than the others say it is."""
    store = forgeries.copied(digits_run, tmp_path / "out")
    cells = [forgeries.cells(store, tuner)[0] for tuner in ("logit-bias", "smvt-sj", "cw-p")]
    original = store.get("cells", forgeries.cells(store, "original")[0])
    for cell in cells:
        record = store.get("cells", cell) | {"points": copy.deepcopy(original["points"])}
        store.put("cells", cell, forgeries.cheaper_original(record) if cell.tuner == "cw-p" else record)
    board = leaderboard.build(store.out)
    assert any("not counted, 1 cells" in note and "the original's costs" in note for note in board.notes)
    assert [row["seeds"] for row in board.rows if row["tuner"] == "cw-p"] == [1]


def test_where_no_half_agrees_none_is_counted(digits_run, tmp_path):
    """Two records that contradict each other cannot tell which of them is forged."""
    store = forgeries.copied(digits_run, tmp_path / "out")
    kept = {"logit-bias", "cw-p"}
    for cell, path in list(store.cells()):
        if cell.tuner not in kept or cell.seed:
            path.unlink()
    cell = forgeries.cells(store, "cw-p")[0]
    store.put("cells", cell, forgeries.weaker_original(store.get("cells", cell)))
    board = leaderboard.build(store.out)
    assert {row["seeds"] for row in board.rows} == {0}
    assert any("not counted, 2 cells of digits model1 seed 0" in note for note in board.notes)


LOCKS = {
    "another budget": (("suite", "budget"), 0.5),
    "more trials": (("suite", "trials"), 1000),
    "held out, it says": (("suite", "protocol"), "paper"),
    "an original of another protocol": (("inputs", "originals", "digits/model1", "protocol"), "paper"),
    "an original of another network": (("inputs", "originals", "digits/model1", "model"), "model2"),
    "a tuner twice": (("tuners",), ["cw-p", "cw-p"]),
    "a tuner without code": (("tuners",), ["cw-p", "ghost"]),
    "a target twice": (("targets", "digits/model1"), ["1", "1"]),
    "a target in two ways": (("targets", "digits/model1"), ["5+3"]),
    "a class twice": (("targets", "digits/model1"), ["5+5"]),
    "a place without original": (("targets", "mnist/model1"), ["5"]),
    "too many cells": (("suite", "seeds"), 10_000),
    "options as a list": (("inputs", "rest", "options"), [1]),
    "a name with a mark": (("suite", "name"), "a\u200fb"),
    "a class name with an escape": (("class_names",), {"digits": ["\x1b[2J"]}),
}


@pytest.mark.parametrize("case", LOCKS)
def test_a_lock_that_contradicts_itself_is_one_line(digits_run, tmp_path, case):
    """The suite that a board shows has to be the one that its cells were computed by, and of a bearable size."""
    path, value = LOCKS[case]
    store = forgeries.copied(digits_run, tmp_path / "out")
    lock = store.lock()
    forgeries.set_at(lock, path, value)
    if case == "too many cells":
        lock["targets"]["digits/model1"] = [str(k) for k in range(MOST_CELLS // 10_000)]
    store.write_lock(lock)
    with pytest.raises(StoreError, match="delete it or choose another -o OUT"):
        leaderboard.build(store.out)
    done = run_command("gate", store.out, "--baseline", digits_run)
    assert (done.code, done.err.count("\n")) == (2, 1)


def test_a_file_of_many_small_values_is_not_read(tmp_path):
    """Millions of empty lists are refused before they fill the memory."""
    path = tmp_path / "0.json"
    path.write_text(json.dumps({"schema": 2, "checksum": "", "content": []})[:-2] + "[]," * MOST_VALUES + "[]]}")
    with pytest.raises(Damaged, match="more than 2,000,000 values"):
        read_json(path)


def test_files_of_other_runs_are_not_even_read(digits_run, tmp_path):
    """A thousand cells that the lock does not name leave no remark."""
    store = forgeries.copied(digits_run, tmp_path / "out")
    for number in range(20):
        folder = store.out / "cells" / "other" / "model1" / "1" / f"tuner-{number}"
        folder.mkdir(parents=True)
        (folder / "0.json").write_text("{}")
    assert not any("not counted" in note for note in leaderboard.build(store.out).notes)


def test_what_cannot_be_verified_is_named(digits_run):
    """Costs and times follow from no file, so every board says that they are taken as they are."""
    assert any("only a run can verify it: parameters, FLOPs" in note for note in leaderboard.build(digits_run).notes)
