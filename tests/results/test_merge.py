"""`tunebench merge`: folders that agree become one, conflicts are named and refused."""

from __future__ import annotations

import csv
import shutil

import pytest
from conftest import run_command

from tunebench.grid.evaluation import failure
from tunebench.results.cells import key_of
from tunebench.results.store import Store, read_json


def figures(out):
    """Rows of the leaderboard in ``out`` without times."""
    with (out / "leaderboard.csv").open(encoding="utf-8") as file:
        return [
            {name: text for name, text in row.items() if not name.endswith("_seconds") and "latency" not in name}
            for row in csv.DictReader(file)
        ]


def part(source, out, tuners):
    """A copy of a run that holds only some tuners."""
    shutil.copytree(source, out)
    store = Store(out)
    for cell, path in list(store.cells()):
        if cell.tuner not in tuners:
            path.unlink()
            store.path("times", cell).unlink(missing_ok=True)
    store.write_lock({**store.lock(), "tuners": sorted(tuners)})
    return out


@pytest.fixture
def halves(digits_run, tmp_path):
    """One run as two folders that share a tuner."""
    return (
        part(digits_run, tmp_path / "a", {"original", "logit-bias", "cw-p"}),
        part(digits_run, tmp_path / "b", {"original", "smvt-sj", "random-synapses"}),
    )


def test_halves_make_a_whole(digits_run, halves, tmp_path):
    """The merged leaderboard equals that of the run which was never split, latency included."""
    done = run_command("merge", *halves, "-o", tmp_path / "c")
    assert done.code == 0, done.err
    assert done.out == f"10 cells in {tmp_path / 'c'}\n"
    assert figures(tmp_path / "c") == figures(digits_run)
    assert (tmp_path / "c" / "leaderboard.csv").read_text() == (digits_run / "leaderboard.csv").read_text()


def test_conflicting_cells_are_named(halves, tmp_path):
    """Two results of one cell that differ in anything but times are refused by name, and nothing is written."""
    store = Store(halves[1])
    cell = next(cell for cell, _ in store.cells() if cell.tuner == "original")
    record = store.get("cells", cell)
    store.put("cells", cell, {**record, "regret": 7})
    done = run_command("merge", *halves, "-o", tmp_path / "c")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"{cell.path.with_suffix('')} ({halves[0]} and {halves[1]}) differ" in done.err
    assert not (tmp_path / "c").exists()


def test_times_are_no_conflict(halves, tmp_path):
    """The same result computed twice, on other machines and at other speeds, is one cell."""
    store = Store(halves[1])
    cell = next(cell for cell, _ in store.cells() if cell.tuner == "original")
    record = store.get("cells", cell)
    store.put("cells", cell, {**record, "tune_seconds": 99.0, "provenance": {**record["provenance"], "cpu": "another"}})
    assert run_command("merge", *halves, "-o", tmp_path / "c").code == 0


def test_a_failure_gives_way(halves, tmp_path):
    """A cell that failed in one folder and is ok in another is ok, in either order."""
    store = Store(halves[0])
    cell = next(cell for cell, _ in store.cells() if cell.tuner == "original")
    record = store.get("cells", cell)
    kept = {name: record[name] for name in ("cell", "key", "inputs", "options", "provenance")}
    store.put("cells", cell, {**kept, **failure("crashed", "bad luck")})
    for number, order in enumerate((halves, halves[::-1])):
        out = tmp_path / str(number)
        assert run_command("merge", *order, "-o", out).code == 0
        assert Store(out).get("cells", cell)["status"] == "ok"


def test_other_rules_are_refused(halves, tmp_path):
    """Folders that were run with other options are told apart by the option's name."""
    store = Store(halves[1])
    lock = store.lock()
    lock["suite"]["trials"] = lock["inputs"]["rest"]["options"]["trials"] = 4
    store.write_lock(lock)
    for cell, path in list(store.cells()):
        record = read_json(path)
        record["inputs"]["options"]["trials"] = 4
        if cell.tuner == "original":
            path.unlink()
        else:
            store.put("cells", cell, {**record, "key": key_of(record["inputs"])})
    done = run_command("merge", *halves, "-o", tmp_path / "c")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "follow different rules: rest.options.trials: 3 -> 4" in done.err


def test_damaged_cells_are_left_out(halves, tmp_path):
    """A file that cannot be used is named and left out; the other folder's one is taken."""
    for path in halves[0].glob("cells/**/original/0.json"):
        path.write_text("{}")
    done = run_command("merge", *halves, "-o", tmp_path / "c")
    assert done.code == 0
    assert "0.json is left out: not a tunebench file" in done.err
    assert done.out.startswith("10 cells")


def test_folders_without_a_run(halves, tmp_path):
    """A source without a run, or a target with one, ends in one line."""
    done = run_command("merge", halves[0], tmp_path / "none", "-o", tmp_path / "c")
    assert (done.code, done.err) == (2, f"tunebench: {tmp_path / 'none'} holds no run\n")
    done = run_command("merge", *halves, "-o", halves[0])
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "holds a run already; choose another -o OUT" in done.err
