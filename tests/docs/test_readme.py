"""README and docs show what the repository produces, and the first screen says what it is."""

import functools
import re
from pathlib import Path

import pytest

import tunebench
from tunebench.boards import leaderboard, tables

ROOT = Path(__file__).parents[2]
MARKED = re.compile(r"<!-- tunebench leaderboard (\S+) --format markdown: (.+?) -->\n(.*?)<!-- end -->", re.DOTALL)


def blocks():
    """(run folder, heading, text) of every table in README and docs that a command makes."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [block for page in pages for block in MARKED.findall(page.read_text(encoding="utf-8"))]


@functools.cache
def rendered(run):
    """What ``tunebench leaderboard RUN --format markdown`` prints."""
    return tables.render(leaderboard.build(ROOT / run), "markdown")


@pytest.mark.parametrize(("run", "heading", "shown"), blocks(), ids=lambda value: value[:24])
def test_tables_are_those_of_the_committed_leaderboards(run, heading, shown):
    """Every figure in a README table is what the named command prints today, to the letter."""
    section = rendered(run).split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert shown.strip() == table


def test_there_is_a_table():
    """The README opens with a real leaderboard."""
    assert len(blocks()) >= 2


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
