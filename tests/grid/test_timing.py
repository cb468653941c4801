"""The latency pass: one network of a kind is timed, alone; what is built like it is tuned again, side by side."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from tunebench.errors import HostFault
from tunebench.grid import plan, timing
from tunebench.grid.observer import Silent
from tunebench.results.store import Store

UNLIKE = ("smvt-sj", "weighted-finetune")
"""Tuners whose networks, here, are built otherwise than their original."""


class Here:
    """An engine that works at once, in this process."""

    memory = None

    def __init__(self, workers, memory=None):
        self.workers = workers

    def submit(self, function, argument, timeout):
        """See `tunebench.workers.engines.Engine`."""
        future = Future()
        try:
            future.set_result(function(argument))
        except Exception as exc:
            future.set_exception(exc)
        return future

    def close(self):
        """Nothing runs."""


@pytest.fixture
def asked(monkeypatch):
    """What workers were asked: tuner, whether a twin was known, and whether alone."""
    found = []

    def answer(work):
        job, _, twin, alone = work
        found.append((job.cell.tuner, twin is not None, alone))
        like = job.cell.tuner not in UNLIKE
        if like and twin is not None:
            return {**twin, "key": job.key}
        return {"key": job.key, "status": "ok", "like_original": like, "of": job.cell.tuner} if alone else None

    monkeypatch.setattr(timing, "time_job", answer)
    monkeypatch.setattr(timing, "LocalEngine", Here)
    return found


def chosen(tuner, unchanged):
    """A record whose choice is the original, if the tuner is one of ``unchanged``: shifted where its name says so."""
    point = {"fell_back": tuner in unchanged, "shift": 0.5 if tuner == "shifted" else 0.0}
    return {"key": tuner, "points": {"plain": {"0.2": point}}}


def go(tmp_path, monkeypatch, workers, *tuners, unchanged=()):
    """Measure cells of those tuners on one original; returns whose time each was given."""
    cells = [SimpleNamespace(tuner=name, seed=0, path=Path(name)) for name in tuners]
    options = SimpleNamespace(demand=0.2)
    jobs = [SimpleNamespace(cell=cell, original="an original", key=cell.tuner, options=options) for cell in cells]
    given = {}
    monkeypatch.setattr(timing, "good_record", lambda job, store: chosen(job.key, unchanged))
    monkeypatch.setattr(timing, "timed", lambda store, job, options: False)
    monkeypatch.setattr(Store, "put", lambda self, kind, cell, content: given.update({cell.tuner: content["of"]}))
    timing.time_cells(jobs, Store(tmp_path), Here(workers), Silent(), plan.RunOptions(tmp_path), 60)
    return given


def test_only_what_is_timed_is_alone(asked, tmp_path, monkeypatch):
    """The first is timed, its likes are tuned again beside each other, and who differs is timed in the end."""
    given = go(tmp_path, monkeypatch, 2, "original", "smvt-sj", "logit-bias", "cw-p")
    assert asked == [
        ("original", False, True),
        ("smvt-sj", True, False),
        ("logit-bias", True, False),
        ("cw-p", True, False),
        ("smvt-sj", True, True),
    ]
    assert given == {"original": "original", "logit-bias": "original", "cw-p": "original", "smvt-sj": "smvt-sj"}


def test_without_a_twin_nobody_is_tuned_twice(asked, tmp_path, monkeypatch):
    """Where the first is built otherwise, the rest is timed one after the other, until there is a twin."""
    given = go(tmp_path, monkeypatch, 2, "smvt-sj", "logit-bias", "cw-p")
    assert asked == [("smvt-sj", False, True), ("logit-bias", False, True), ("cw-p", True, True)]
    assert given == {"smvt-sj": "smvt-sj", "logit-bias": "logit-bias", "cw-p": "logit-bias"}


def test_one_worker_does_one_after_the_other(asked, tmp_path, monkeypatch):
    """Where nothing can be done side by side, nobody is tuned twice either."""
    go(tmp_path, monkeypatch, 1, "original", "smvt-sj", "logit-bias")
    assert asked == [("original", False, True), ("smvt-sj", True, True), ("logit-bias", True, True)]


def test_a_lost_worker_beside_others_costs_its_cell_alone(asked, tmp_path, monkeypatch):
    """It is not timed, a warning says so, and the others are."""
    answer = timing.time_job

    def lose(work):
        if work[0].cell.tuner == "logit-bias":
            raise HostFault("no room")
        return answer(work)

    monkeypatch.setattr(timing, "time_job", lose)
    assert set(go(tmp_path, monkeypatch, 2, "original", "logit-bias", "cw-p")) == {"original", "cw-p"}


@pytest.mark.parametrize("workers", [1, 2])
def test_what_fell_back_is_not_tuned_again(asked, tmp_path, monkeypatch, workers):
    """One of them is timed, the first of all; the others take its figures, but for one whose original is shifted."""
    tuners = ("smvt-sj", "original", "cw-p", "shifted")
    given = go(tmp_path, monkeypatch, workers, *tuners, unchanged=("original", "cw-p", "shifted"))
    assert [tuner for tuner, *_ in asked if tuner != "smvt-sj"] == ["original", "shifted"]
    assert asked[0] == ("original", False, True)
    assert given == {"original": "original", "cw-p": "original", "shifted": "original", "smvt-sj": "smvt-sj"}
