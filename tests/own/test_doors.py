"""The engine behind a board and the one behind `tunebench.tune` are the same."""

import runpy
from pathlib import Path

from conftest import run_command

DOORS = runpy.run_path(str(Path(__file__).parents[2] / "leaderboards" / "doors.py"))
ASKED = ("-d", "digits", "-m", "model1", "--target", "8", "--seeds", "1", "--no-latency", "-q", "-j", "1")


def test_both_doors_come_to_the_same_network(tmp_path):
    """A board's network and samples, given to `tunebench.tune`, score on test what the cell says, to the bit."""
    board = tmp_path / "board"
    assert run_command("run", *ASKED, "-t", DOORS["TUNERS"][0], "-o", board).code == 0
    row = DOORS["row_of"](board, None)
    assert row[:5] == ("board", "digits", "model1", "8", "smvt-sj-exact")
    assert row.grid == row.tune
    assert 0.5 < row.tune[0] < 1
