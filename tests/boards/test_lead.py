"""leaderboards/lead.py: the lead of the pick over the runner-up, with its interval."""

import json
import re
import runpy
from pathlib import Path

import pytest

from tunebench.boards.advice import advise

BOARDS = Path(__file__).parents[2] / "leaderboards"
BUDGET = 1.0
ROW = re.compile(r"\| (.+?) +\| ([+-][\d.]+) +\| ([+-][\d.]+) to ([+-][\d.]+) +\|")


def test_the_lead_is_that_of_the_picks():
    """The mean over blocks is what *Which to pick* says the second is behind, and every interval is around its lead."""
    table = runpy.run_path(str(BOARDS / "lead.py"))["table"](BOARDS / "digits", BUDGET)
    curves = json.loads((BOARDS / "digits" / "leaderboard.json").read_text("utf-8"))["curves"]
    (picked,) = (row for row in advise(curves) if row["budget"] == BUDGET)
    assert table.startswith(f"{picked['first']} over {picked['second']}, OA budget 1, points of TA\n")
    found = {name: tuple(map(float, figures)) for name, *figures in ROW.findall(table)}
    *blocks, whole = found
    assert (len(blocks), whole) == (2, "all")
    assert sum(found[name][0] for name in blocks) / 2 == pytest.approx(100 * picked["behind"], abs=0.011)
    assert all(low < lead < high for lead, low, high in found.values())
