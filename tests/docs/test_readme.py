"""README and docs show what the repository produces, and the first screen says what it is."""

import re
import runpy
from pathlib import Path

import pytest

import tunebench

ROOT = Path(__file__).parents[2]
REFRESH = runpy.run_path(str(ROOT / "leaderboards" / "refresh.py"))
"""The script that makes the tables of README and docs."""


@pytest.mark.parametrize("page", REFRESH["PAGES"], ids=lambda page: page.name)
def test_tables_are_those_of_the_committed_leaderboards(page):
    """Every marked table is what the named command prints today; make it again with leaderboards/refresh.py."""
    text = page.read_text("utf-8")
    assert text == REFRESH["shown"](text)


def test_the_first_section_that_a_board_has_is_shown(monkeypatch):
    """A mark may name a section that comes with the next run; until then its alternative stands there."""
    boards = ["# B\n\n## Old\n\nold words\n\n| t |\n\n## More\n\nx\n", "# B\n\n## Old\n\no\n\n## New\n\nn\n"]
    page = "<!-- tunebench leaderboard b --format markdown: New, else Old -->\nstale\n<!-- end -->\nrest"
    monkeypatch.setitem(REFRESH["section"].__globals__, "rendered", lambda folder: boards[0])
    assert REFRESH["shown"](page).splitlines()[1:] == ["old words", "", "| t |", "<!-- end -->", "rest"]
    boards.pop(0)
    assert REFRESH["shown"](page).splitlines()[1:] == ["n", "<!-- end -->", "rest"]


def test_there_is_a_table():
    """The README opens with a real leaderboard."""
    assert len(REFRESH["MARKED"].findall((ROOT / "README.md").read_text("utf-8"))) == 1


def test_the_first_screen_says_it_all():
    """Forty lines: the words, a picture, a class fixed, methods compared, the set-up, a table of five rows."""
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    screen = "\n".join(lines[:40])
    for word in ("recall", "TA", "accuracy over all classes", "OA", "budget", "tunebench tune", "tunebench run", "tox"):
        assert word in screen
    (picture,) = re.findall(r"!\[.*?\]\((.*?)\)", screen)
    assert (ROOT / picture).is_file()
    assert sum(line.startswith("| ") for line in lines[:40]) == 1 + 5


def test_pictures_are_there_and_small():
    """Every picture that a page shows exists, at most 200 kB."""
    for page in [ROOT / "README.md", ROOT / "leaderboards" / "README.md", *(ROOT / "docs").glob("*.md")]:
        for picture in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text("utf-8")):
            assert (page.parent / picture).stat().st_size <= 200_000


def test_the_citation_is_of_this_version():
    """CITATION.cff is YAML with what the format asks for, and names the version that is installed."""
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= found.keys()
    assert found["version"] == tunebench.__version__
