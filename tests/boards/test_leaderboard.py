"""Leaderboards of a real run against figures recomputed from its cells."""

import shutil

import numpy as np
import pytest

from tunebench import StoreError
from tunebench.boards import leaderboard
from tunebench.boards.leaderboard import COLUMNS, build
from tunebench.results.cells import Cell
from tunebench.results.predictions import predictions_of
from tunebench.results.reading import planned_blocks
from tunebench.results.store import Store

CONTRACT = (
    "dataset", "model", "target", "tuner", "status", "seeds", "seeds_planned", "ta", "ta_low", "ta_high", "ta_gain",
    "oa", "oa_gain", "dot_rv", "precision", "params", "flops", "latency_us", "latency_ratio", "tune_seconds", "rank",
)  # fmt: skip
"""Columns that scripts outside the project read, in this order."""
TUNERS = ["cw-p", "logit-bias", "original", "random-synapses", "smvt-sj"]


@pytest.fixture
def copied(digits_run, tmp_path):
    """A copy of the real run that a test may change."""
    shutil.copytree(digits_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def board(digits_run):
    """The leaderboard of the real run."""
    return build(digits_run)


def rows_of(board):
    """Rows by tuner."""
    return {row["tuner"]: row for row in board.rows}


def records_of(out, tuner):
    """Both seeds' records of one tuner."""
    store = Store(out)
    return [store.get("cells", cell) for cell, _ in store.cells() if cell.tuner == tuner]


def cell_of(out, tuner, seed):
    """The cell of one tuner and seed."""
    return next(cell for cell, _ in Store(out).cells() if (cell.tuner, cell.seed) == (tuner, seed))


def fail(out, tuner, seed, status="error"):
    """Put a failure in the place of a cell's result."""
    cell = cell_of(out, tuner, seed)
    record = Store(out).get("cells", cell)
    kept = {name: record[name] for name in ("cell", "key", "inputs", "options", "provenance") if name in record}
    Store(out).put("cells", cell, {**kept, "status": status, "reason": "Traceback\nValueError: no luck"})


def test_columns_keep_the_contract(board):
    """The published columns come first and in order; every row has exactly the columns."""
    assert COLUMNS[: len(CONTRACT)] == CONTRACT
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert all(set(row) == set(COLUMNS) for row in board.rows)


def test_figures_are_those_of_the_predictions(board, digits_run):
    """TA, OA and gains are means over seeds of what the stored predictions give, against each seed's own original."""
    for tuner, row in rows_of(board).items():
        ta, oa, ta_gain, oa_gain = [], [], [], []
        for record in records_of(digits_run, tuner):
            labels, original, tuned = predictions_of(record, "plain", "1.0")
            mine = labels == int(row["target"])
            ta.append(np.mean(tuned[mine] == labels[mine]))
            oa.append(np.mean(tuned == labels))
            ta_gain.append(ta[-1] - np.mean(original[mine] == labels[mine]))
            oa_gain.append(oa[-1] - np.mean(original == labels))
        assert len(labels) == 599
        figures = [row[name] for name in ("ta", "oa", "ta_gain", "oa_gain")]
        assert figures == pytest.approx([np.mean(values) for values in (ta, oa, ta_gain, oa_gain)])
        assert type(row["seeds"]) is int
        assert (row["status"], row["seeds"], row["seeds_planned"]) == ("ok", 2, 2)
        assert row["ta_low"] <= row["ta"] <= row["ta_high"]


def test_the_original_is_the_zero_line(board):
    """It gains and loses nothing, costs what the network costs, and its shifted variant is logit-bias."""
    rows = rows_of(board)
    zero = rows["original"]
    assert (zero["ta_gain"], zero["oa_gain"], zero["dot_rv"], zero["fell"], zero["area"]) == (0, 0, 0, 0, 0)
    assert (zero["params"], zero["flops"]) == (64 * 100 + 100 + 6400 + 64 + 640 + 10, 13_778)
    assert zero["bytes"] == 4 * zero["params"]
    assert zero["ta_gain_shifted"] == pytest.approx(rows["logit-bias"]["ta_gain_shifted"])
    assert rows["smvt-sj"]["params_paper"] >= rows["smvt-sj"]["params"] >= zero["params"]


def test_ranks_follow_ta(board):
    """Ranks descend with TA, equal TA shares a rank, and rows stand in that order; both variants are ranked."""
    assert sorted(rows_of(board)) == TUNERS
    for suffix in ("", "_shifted"):
        for row in board.rows:
            better = sum(other["ta" + suffix] > row["ta" + suffix] + 1e-9 for other in board.rows)
            assert row["rank" + suffix] == better + 1
    ranks = [row["rank"] for row in board.rows]
    assert ranks == sorted(ranks)
    assert all(row["group"] for row in board.rows)


def test_every_pair_is_compared(board):
    """Each two tuners, once per variant, with a difference that agrees with the rows'."""
    rows = rows_of(board)
    assert len(board.pairs) == 2 * 10
    for pair in board.pairs:
        if pair["variant"] == "plain":
            expected = rows[pair["tuner_a"]]["ta"] - rows[pair["tuner_b"]]["ta"]
            assert pair["ta_difference"] == pytest.approx(expected)
        assert 0 <= pair["ta_p_holm"] <= 1
        assert pair["ta_low"] <= pair["ta_difference"] <= pair["ta_high"]


def test_the_area_is_a_trapezoid(board):
    """The area is the trapezoid of mean TA gain over budgets 0 to 1, by hand from the curve."""
    for row in board.rows:
        curve = [c for c in board.curves if (c["tuner"], c["variant"]) == (row["tuner"], "plain")]
        assert [c["budget"] for c in curve] == [0.0, 0.1, 0.2, 0.5, 1.0]
        heights = [c["ta_gain"] for c in curve]
        by_hand = sum(
            (b - a) * (x + y) / 2
            for a, b, x, y in zip((0, 0.1, 0.2, 0.5), (0.1, 0.2, 0.5, 1.0), heights, heights[1:], strict=False)
        )
        assert row["area"] == pytest.approx(by_hand)


def test_gains_do_not_need_the_original_in_the_grid(copied, board):
    """Without the row of `original` every other figure stays as it was."""
    store = Store(copied)
    lock = store.lock()
    store.write_lock({**lock, "tuners": [name for name in lock["tuners"] if name != "original"]})
    found = rows_of(build(copied))
    assert sorted(found) == [name for name in TUNERS if name != "original"]
    for name, row in found.items():
        for column in ("ta", "ta_gain", "oa_gain", "area", "ta_shifted"):
            assert row[column] == rows_of(board)[name][column]


@pytest.mark.parametrize("status", ["error", "timeout", "skipped"])
def test_a_row_bears_its_worst_cell(copied, board, status):
    """One cell that is not ok keeps its row out of the ranking, which says why; the other rows are ranked."""
    fail(copied, "cw-p", 1, status)
    found = build(copied)
    row = rows_of(found)["cw-p"]
    assert (row["status"], row["seeds"], row["seeds_planned"], row["rank"]) == (status, 1, 2, None)
    assert row["reason"] == "ValueError: no luck"
    assert found.rows[-1] is row
    assert any(status in note and "cw-p (1 of 2 seeds)" in note for note in found.notes)
    assert not any("cw-p" in (pair["tuner_a"], pair["tuner_b"]) for pair in found.pairs)
    others = [row["tuner"] for row in board.rows if row["tuner"] != "cw-p"]
    assert [row["tuner"] for row in found.rows[:-1]] == others


def test_a_missing_cell_leaves_an_incomplete_row(copied):
    """An interrupted run shows what is there: the row counts its seeds and is not ranked."""
    (copied / "cells" / cell_of(copied, "smvt-sj", 0).path).unlink()
    row = rows_of(build(copied))["smvt-sj"]
    assert (row["seeds"], row["rank"]) == (1, None)
    assert row["ta"] is not None


def test_a_tuner_without_any_cell_has_no_figures(copied):
    """Its row says so and holds nothing that could be taken for a result."""
    for seed in range(2):
        fail(copied, "cw-p", seed)
    row = rows_of(build(copied))["cw-p"]
    assert (row["status"], row["seeds"]) == ("error", 0)
    named = {"dataset", "model", "target", "target_name", "tuner", "status", "seeds", "seeds_planned", "reason"}
    figures = set(COLUMNS) - named
    assert {row[name] for name in figures} == {None}


def test_a_damaged_cell_is_a_remark(copied):
    """A file that cannot be trusted is named and never counted."""
    path = copied / "cells" / cell_of(copied, "cw-p", 0).path
    path.write_text(path.read_text("utf-8").replace('"ok"', '"OK"'), "utf-8")
    found = build(copied)
    assert rows_of(found)["cw-p"]["seeds"] == 1
    assert any("cw-p" in note and "not counted" in note for note in found.notes)


def test_no_run_no_leaderboard(tmp_path):
    """An empty folder says how to fill it."""
    with pytest.raises(StoreError, match="holds no run; start one with: tunebench run -o"):
        build(tmp_path)


def test_one_seed_gives_no_intervals(copied):
    """With a single seed there are no intervals and groups, and a remark says why."""
    store = Store(copied)
    lock = store.lock()
    store.write_lock({**lock, "suite": {**lock["suite"], "seeds": 1}})
    found = build(copied)
    assert all(row["ta_low"] is None for row in found.rows)
    assert all(row["group"] is None for row in found.rows)
    assert any(note.startswith("one seed: no intervals") for note in found.notes)


def test_two_seeds_get_the_caution_of_one(digits_run, tunebench):
    """In the terminal, in Markdown and on the page; three seeds get none."""
    said = "two seeds: little tells luck from merit"
    for kind in ("table", "markdown", "html"):
        assert said in " ".join(tunebench("leaderboard", digits_run, "--format", kind).out.split())
    assert not any("seeds:" in note for note in leaderboard.remarks([], {"protocol": "holdout", "seeds": 3}))


def test_the_paper_protocol_is_marked():
    """A leaderboard that was selected on test says so before any figure can be believed."""
    notes = leaderboard.remarks([], {"protocol": "paper", "seeds": 3})
    assert any("selected on test" in note for note in notes)


def test_limits_of_a_run_are_said():
    """What no choice could break stands below the table; limits that forbid nothing, or were not known yet, do not."""
    suite = {"protocol": "holdout", "seeds": 3, "max_steps": 2000, "synapse_layers": "all", "protect": []}
    assert leaderboard.remarks([], suite) == leaderboard.remarks([], {"protocol": "holdout", "seeds": 3})
    narrow = {**suite, "max_steps": 50, "protect": ["3:0.5", "5"], "max_new_params": 0, "synapse_layers": "not 0"}
    said = "limits of every choice: "
    said += "max_steps 50; protect 3:0.5, 5; synapse_layers not 0; max_new_params 0"
    assert said in leaderboard.remarks([], narrow)


def test_what_took_long_to_train_is_said():
    """Seconds of one core, means over data sets and seeds, not cells; what took a moment, or is not known, is not."""

    def record(model, seed, seconds, tuner="sj"):
        cell = {"dataset": "d", "model": model, "target": "1", "tuner": tuner, "seed": seed}
        known = {"training": {"steps": 9, "cpu_seconds": seconds}} if seconds else {}
        return {"cell": cell, "provenance": known}

    quick, unknown = record("mlp:8", 0, 9.9), record("old", 0, None)
    slow = [record("lenet", 0, 1000.0), record("lenet", 0, 1000.0, "sj-k3"), record("lenet", 1, 2000.0)]
    assert leaderboard.trainings([quick, unknown]) == []
    assert leaderboard.trainings([quick, *slow]) == ["training of an original, in seconds of one core: lenet 1,500"]


def test_blocks_are_told_apart():
    """A model's name may hold a colon and a data set's a slash; the place is split at the last slash."""
    lock = {"targets": {"npz:a/b.npz/mlp:12-8": ["1", "2+3"]}}
    assert planned_blocks(lock) == [("npz:a/b.npz", "mlp:12-8", "1"), ("npz:a/b.npz", "mlp:12-8", "2+3")]
    assert Cell("d", "m", "2+3", "t", 0).targets == (2, 3)
