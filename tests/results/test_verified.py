"""What was found sound is not verified again, and whatever changed is."""

from __future__ import annotations

import json
import shutil

import pytest

from tunebench.boards import leaderboard
from tunebench.results import store
from tunebench.results.store import Store, raw_bytes, write_json


@pytest.fixture
def out(digits_run, tmp_path):
    """A run folder that nobody has read yet."""
    return shutil.copytree(digits_run, tmp_path / "out")


@pytest.fixture
def checked(monkeypatch):
    """The cells whose records are verified from here on."""
    seen = []
    original = store.check_record
    monkeypatch.setattr(store, "check_record", lambda record, cell: (seen.append(cell), original(record, cell)))
    return seen


def test_nothing_is_verified_twice(out, checked, own_cache):
    """The second reader verifies nothing and builds the same board; the folder holds no trace of it."""
    files = sorted(out.rglob("*"))
    first = leaderboard.build(out)
    assert len(checked) == len(list(Store(out).cells()))
    checked.clear()
    assert leaderboard.build(out) == first
    assert checked == []
    assert sorted(out.rglob("*")) == files
    assert list((own_cache / "verified").iterdir())


def test_a_changed_file_is_verified_again_and_no_other(out, checked):
    """One record written anew, its name, size and time as before, is read with all checks."""
    leaderboard.build(out)
    checked.clear()
    cell, path = next(Store(out).cells())
    before = path.stat()
    raw = raw_bytes(path)
    path.write_bytes(raw.replace(b'"tune_seconds": ', b'"tune_seconds":  ', 1)[: len(raw)])
    shutil.os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    notes = leaderboard.build(out).notes
    assert any("is not counted" in note for note in notes)
    path.write_bytes(raw)
    leaderboard.build(out)
    assert checked == [cell]


def test_a_forged_figure_is_refused_after_a_sound_read(out):
    """A better TA under a right checksum does not pass because the file was sound before."""
    leaderboard.build(out)
    path = next(path for cell, path in Store(out).cells() if cell.tuner == "logit-bias")
    content = json.loads(raw_bytes(path))["content"]
    content["points"]["plain"]["1.0"]["test"]["ta"] = 1.0
    write_json(path, content)
    assert any("ta does not follow" in note for note in leaderboard.build(out).notes)


def test_a_sound_file_in_another_place_is_refused(out):
    """A digest covers where the file lies: one tuner's record is none of another's."""
    leaderboard.build(out)
    mine, theirs = (next(p for c, p in Store(out).cells() if c.tuner == name) for name in ("original", "smvt-sj"))
    shutil.copy(theirs, mine)
    assert any("belongs to another cell" in note for note in leaderboard.build(out).notes)


def test_other_code_verifies_everything_again(out, checked, monkeypatch):
    """What an older version found sound is no proof to a newer one."""
    leaderboard.build(out)
    checked.clear()
    monkeypatch.setattr("tunebench.results.verified.our_code", lambda: "a newer version")
    leaderboard.build(out)
    assert len(checked) == len(list(Store(out).cells()))


def test_a_cache_that_cannot_be_used_changes_nothing(out, monkeypatch, tmp_path):
    """A damaged or unwritable note in the cache costs the time of a check and nothing else."""
    board = leaderboard.build(out)
    Store(out).verified.path.write_bytes(b"\xff\x00 no digests")
    assert leaderboard.build(out) == board
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert leaderboard.build(out) == board
