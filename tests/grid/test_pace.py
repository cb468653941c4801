"""What an estimate counts with: the pace of earlier cells on this machine."""

import re

import pytest

from tunebench.grid import pace

ASKED = ("-d", "digits", "-m", "model1", "-t", "smvt-sj*", "-t", "weighted-finetune", "--target", "8", "--no-latency")


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A folder for paces without a past."""
    monkeypatch.setattr(pace, "cache_root", lambda: tmp_path / "paces")
    return tmp_path


def estimate(tunebench, *flags):
    """Minutes and known paces of a dry run."""
    done = tunebench("run", *ASKED, *flags, "--dry-run", "-j", "1")
    assert done.code == 0, done.err
    minutes, known, all_ = re.search(r"about ([\d.]+) min .* (\d+) of (\d+) paces", done.out).groups()
    return float(minutes), int(known), int(all_)


def test_a_run_notes_its_pace_for_later_estimates(tunebench, fresh):
    """Cells that ran here are counted as they took, more trials and seeds in proportion."""
    assert estimate(tunebench)[1:] == (0, 3)
    asked = ("-t", "smvt-sj", "--seeds", "1", "--trials", "3", "-q", "-j", "1", "-o", fresh / "out")
    assert tunebench("run", "-d", "digits", "-m", "model1", "--target", "8", "--no-latency", *asked).code == 0
    assert estimate(tunebench)[1:] == (1, 3)
    ((seconds, trials),) = pace.known().values()
    assert trials == 3
    assert 0.01 < seconds < 60


def test_time_grows_with_trials_only_where_there_is_a_search(fresh):
    """A measured search is scaled by its trials; a tuner without a space takes what it took."""
    pace.note({"d m searched": (2.0, 10), "d m exact": (3.0, 10)})
    names = {"d m searched": True, "d m exact": False}
    assert pace.expected(names, 10) == (5.0, 2)
    assert pace.expected(names, 30) == (9.0, 2)
    assert pace.expected({"d m unknown": True, "d m bare": False}, 10) == (pytest.approx(11 * pace.GUESS), 0)


def test_a_damaged_or_foreign_file_is_no_pace(fresh):
    """Whatever stands in the file, an estimate is made without it, and the next run writes a sound one."""
    for text in ("", "[1, 2]", '{"a": 3}', '{"a": ["x", 1]}', "\x00"):
        pace.note({"d m t": (1.0, 2)})
        file = fresh / "paces" / "pace.json"
        file.write_text(text)
        assert pace.known() == {}
        pace.note({"d m t": (4.0, 2)})
        assert pace.known() == {"d m t": (4.0, 2)}


def test_newer_paces_replace_older_ones(fresh, monkeypatch):
    """The same name is kept once, and of too many the newest stay."""
    monkeypatch.setattr(pace, "MOST", 2)
    for number, name in enumerate("abca"):
        pace.note({name: (float(number), 1)})
    assert pace.known() == {"c": (2.0, 1), "a": (3.0, 1)}
