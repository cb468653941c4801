"""What a run has to fulfil before its rows are offered to a board."""

from dataclasses import replace
from pathlib import Path

import pytest

from tunebench.boards import leaderboard
from tunebench.gate.submission import findings

DIGITS = Path(__file__).parents[2] / "leaderboards" / "digits"


@pytest.fixture(scope="module")
def board():
    """A published leaderboard."""
    return leaderboard.build(DIGITS)


def broken(board):
    """The rules that a board breaks."""
    return [finding.rule for finding in findings(board) if not finding.kept]


def test_a_published_board_passes(tunebench):
    """All rules, exit code 0; and a run of two seeds does not, with what to do."""
    done = tunebench("check", "--submission", DIGITS)
    assert (done.code, done.err) == (0, "")
    assert "FAILED" not in done.out


def test_a_run_of_two_seeds_is_told_what_to_do(tunebench, digits_run):
    """Exit code 1, and the broken rule with its remedy; a folder without a run is an error."""
    done = tunebench("check", "--submission", digits_run)
    assert done.code == 1
    assert "FAILED   at least 3 seeds: run again with more --seeds" in done.out
    assert tunebench("check", "--submission", digits_run / "cells").code == 2


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"status": "error", "rank": None}, "every cell is ok or skipped"),
        ({"rank": None}, "every cell is ok or skipped"),
        ({"latency_ratio": None}, "latency is measured"),
    ],
)
def test_a_bad_row_breaks_its_rule(board, change, rule):
    """One row that failed, is incomplete or was not timed is enough."""
    assert broken(replace(board, rows=[board.rows[0] | change, *board.rows[1:]])) == [rule]


def test_other_rules(board):
    """Selected on test, without the original, with the original alone, or with a damaged cell."""
    assert broken(replace(board, protocol="paper")) == ["held out"]
    rest = [row for row in board.rows if row["tuner"] != "original"]
    assert "original is among the tuners" in broken(replace(board, rows=rest))
    alone = [row for row in board.rows if row["tuner"] == "original"]
    assert broken(replace(board, rows=alone)) == ["a tuner beside original"]
    assert len(broken(replace(board, notes=["x.json is not counted: damaged"]))) == 1
