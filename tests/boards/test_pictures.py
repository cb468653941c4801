"""The pictures of leaderboards show what the boards hold today."""

import re

import pytest
from take_pictures import BOARDS, ROOT, curves


def marks(svg):
    """What is written and what a reader hears of every mark, whatever the version that drew it."""
    return sorted(re.findall(r'aria-label="([^"]*)"|<text[^>]*>([^<]*)<', svg))


@pytest.mark.parametrize("name", BOARDS)
def test_the_curves_are_those_of_the_board(name):
    """All of them, and no other lies beside them; `tox -e pictures` draws them."""
    folder = ROOT / "leaderboards" / name / "plots"
    committed = {path.stem: path.read_text("utf-8") for path in folder.glob("curves-*.svg")}
    drawn = curves(name)
    assert sorted(committed) == sorted(drawn)
    assert [title for title in drawn if marks(committed[title]) != marks(drawn[title])] == []
    assert all(len(marks(svg)) > 100 for svg in drawn.values())
