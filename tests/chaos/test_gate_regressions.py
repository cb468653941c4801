"""Planted regressions against real runs, over and over: every one is caught, and an unchanged tree always passes.

TUNEBENCH_GATE_REPEATS sets how often (2; the figure in the issue is 20).
"""

from __future__ import annotations

import os

import pytest
from planted import source

from tunebench import gate

REPEATS = int(os.environ.get("TUNEBENCH_GATE_REPEATS", "2"))
LIMITS = [gate.Limit.parse(text) for text in ("ta:-0.5pt", "oa:-0.2pt", "latency_ratio:+5%")]
CAUGHT = {"slow": "latency_ratio", "weaker": "ta", "lazy": "ta"}
"""Planted regression -> the column that has to show it; `gone` has no column any more."""


@pytest.fixture(scope="module")
def run(tunebench, tmp_path_factory):
    """``run(regressed)`` runs all tuners of one state into a new folder, which it returns."""

    def run(regressed):
        folder = tmp_path_factory.mktemp("gate")
        (folder / "planted.py").write_text(source(regressed))
        names = ["steady", "slow", "weaker", "lazy", *([] if regressed else ["gone"])]
        done = tunebench(
            "run", "-d", "digits", "-m", "model1", "--seeds", "3", "--trials", "2", "--budget", "100", "-q",
            "--plugin", folder / "planted.py", "-o", folder / "out", *(word for name in names for word in ("-t", name)),
        )  # fmt: skip
        assert done.code == 0, done.err
        return folder / "out"

    return run


@pytest.fixture(scope="module")
def baseline(run):
    """The run that all others are held against."""
    return run(False)


@pytest.mark.parametrize("repeat", range(REPEATS))
def test_unchanged_tree_passes(run, baseline, repeat):
    """The same code, run again from the start, passes: quality is equal to the last bit, times within their noise."""
    verdict = gate.compare(run(False), baseline, LIMITS)
    assert verdict.exit_code == 0, gate.render(verdict)
    assert [change for change in verdict.changes if change.limit.column in ("ta", "oa")] == []


@pytest.mark.parametrize("repeat", range(REPEATS))
def test_planted_regressions_are_caught(run, baseline, repeat):
    """Each bad tuner is named for what is wrong with it, the steady one is not, and the exit code is 3."""
    verdict = gate.compare(run(True), baseline, LIMITS)
    shown = {(change.place[3], change.limit.column) for change in verdict.regressions}
    assert verdict.exit_code == gate.REGRESSION
    assert set(CAUGHT.items()) <= shown, gate.render(verdict)
    assert any(text.startswith("gone on digits") for text in verdict.lost)
    assert "steady" not in {tuner for tuner, _ in shown}
    falls = [change.before - change.now for change in verdict.regressions if change.place[3] == "weaker"]
    assert max(falls) >= 0.03
