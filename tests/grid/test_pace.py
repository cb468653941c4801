"""What an estimate counts with: the pace of earlier cells on this machine, and of published boards."""

import re

import pytest

from tunebench.grid import pace
from tunebench.grid.estimate import Reference, reference
from tunebench.grid.pace import Pace
from tunebench.plugins import load_registry

ASKED = ("-d", "digits", "-m", "model1", "-t", "smvt-sj*", "-t", "weighted-finetune", "--target", "8", "--no-latency")


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A folder for paces without a past."""
    monkeypatch.setattr(pace, "cache_root", lambda: tmp_path / "paces")
    return tmp_path


def estimate(tunebench, *flags):
    """Seconds and known paces of a dry run."""
    done = tunebench("run", *ASKED, "-j", "1", *flags, "--dry-run")
    assert done.code == 0, done.err
    time, unit, known, all_ = re.search(r"about ([\d.]+) (s|min) .* (\d+) of (\d+) paces", done.out).groups()
    return float(time) * (60 if unit == "min" else 1), int(known), int(all_)


def test_a_run_notes_its_pace_for_later_estimates(tunebench, fresh):
    """Cells that ran here are counted as they took, more trials and seeds in proportion."""
    assert estimate(tunebench)[1:] == (0, 3)
    asked = ("-t", "smvt-sj", "--seeds", "1", "--trials", "3", "-q", "-j", "1", "-o", fresh / "out")
    assert tunebench("run", "-d", "digits", "-m", "model1", "--target", "8", "--no-latency", *asked).code == 0
    assert estimate(tunebench)[1:] == (1, 3)
    ((rest, search, trials),) = pace.known().values()
    assert trials == 3
    assert 0 < search < 60
    assert 0.01 < rest < 60


def test_an_estimate_counts_every_cell(tunebench, fresh):
    """Of a minute each: all classes, two under weakest:2, each seed; and no more workers than cells help."""
    names = [pace.name_of("digits", "model1", tuner) for tuner in ("smvt-sj", "smvt-sj-exact", "weighted-finetune")]
    pace.note({name: Pace(60.0, 0.0, 1) for name in names})
    least, known, _ = estimate(tunebench, "--seeds", "1")
    assert known == 3
    assert least == pytest.approx(180, rel=0.1)
    assert estimate(tunebench, "--seeds", "1", "-j", "3")[0] == pytest.approx(60, rel=0.2)
    assert estimate(tunebench, "--seeds", "1", "-j", "30")[0] == pytest.approx(60, rel=0.2)
    assert estimate(tunebench, "--seeds", "1", "--target", "weakest:2")[0] == pytest.approx(3 * 180, rel=0.1)
    assert estimate(tunebench, "--seeds", "2", "--target", "all")[0] == pytest.approx(11 * 2 * 180, rel=0.1)


def test_only_the_search_takes_longer_with_more_trials():
    """What a cell takes besides is the same; a tuner without a space takes what it took."""
    assert Pace(1.0, 2.0, 10).at(30, searches=True) == 7.0
    assert Pace(1.0, 2.0, 10).at(30, searches=False) == 3.0


BOARDS = {"flat": (0.5, 0.5), "steep": (0.1, 10.0), "falling": (2.0, 1.0), "root": (1, 10), "frozen": (1, 10)}


def test_what_never_ran_is_read_off_the_boards():
    """A trial takes what it took on a board of as much work, more with more, and never more than in proportion."""
    boards = Reference((1.0, 100.0), (10, 1000), BOARDS, frozenset(BOARDS) - {"frozen"}, frozenset())
    assert [boards.trial("steep", work, 10) for work in (1, 10, 100, 1000)] == pytest.approx([0.1, 1, 10, 100])
    assert boards.trial("flat", 7, 10) == pytest.approx(0.5)
    assert boards.trial("root", 10_000, 10) == pytest.approx(100)
    assert boards.trial("falling", 3, 10) == pytest.approx(2**0.5)
    assert boards.trial("unheard of", 1, 10) == pytest.approx(1)


def test_what_does_not_train_takes_the_longer_the_more_samples_there_are():
    """However slow the network is: its hidden units are there already."""
    boards = Reference((1.0, 100.0), (10, 1000), BOARDS, frozenset(BOARDS) - {"frozen"}, frozenset())
    assert [boards.trial("frozen", work, 1000) for work in (1, 10_000)] == pytest.approx([10, 10])
    assert boards.trial("frozen", 1, 10) == pytest.approx(1)


@pytest.mark.parametrize("network", ["model1+int8", "model1+prune+int8-qat"])
def test_what_cannot_be_trained_costs_no_training(tunebench, fresh, network):
    """Tuners that train pass over 8-bit integers, so many more of their trials cost next to nothing."""
    asked = (
        "run",
        "-d",
        "digits",
        "-m",
        network,
        "-t",
        "retrain",
        "--target",
        "8",
        "--no-latency",
        "-j",
        "1",
        "--dry-run",
    )
    found = [tunebench(*asked, "--trials", trials).out for trials in (2, 2000)]
    seconds = [float(re.search(r"about ([\d.]+) s ", text).group(1)) for text in found]
    assert seconds[1] < seconds[0] + 10


def test_a_compression_takes_as_many_steps_as_it_may(tunebench, fresh):
    """Three epochs of the data, but 300 steps at the least, for each of them."""
    asked = ("run", "-d", "digits", "-t", "original", "--target", "8", "--seeds", "1", "-j", "1", "--dry-run")
    steps = [
        int(re.search(r"\(([\d,]+) steps\)", tunebench(*asked, "-m", name).out).group(1).replace(",", ""))
        for name in ("mlp:29", "mlp:29+int8", "mlp:29+prune+int8")  # no other test trains that one
    ]
    assert (steps[1] - steps[0], steps[2] - steps[1]) == (300, 300)


def test_every_bundled_tuner_was_on_the_boards():
    """The estimates of a fresh machine know all of them."""
    assert set(load_registry(entry_points=True).tuners) <= set(reference().seconds)


def test_a_damaged_or_foreign_file_is_no_pace(fresh):
    """Whatever stands in the file, an estimate is made without it, and the next run writes a sound one."""
    for text in ("", "[1, 2]", '{"a": 3}', '{"a": [1.5, 2]}', '{"a": ["x", 1, 1]}', "\x00"):
        pace.note({"d m t": Pace(1.0, 1.0, 2)})
        file = fresh / "paces" / "pace.json"
        file.write_text(text)
        assert pace.known() == {}
        pace.note({"d m t": Pace(4.0, 1.0, 2)})
        assert pace.known() == {"d m t": (4.0, 1.0, 2)}


def test_newer_paces_replace_older_ones(fresh, monkeypatch):
    """The same name is kept once, and of too many the newest stay."""
    monkeypatch.setattr(pace, "MOST", 2)
    for number, name in enumerate("abca"):
        pace.note({name: Pace(float(number), 0.0, 1)})
    assert pace.known() == {"c": (2.0, 0.0, 1), "a": (3.0, 0.0, 1)}
