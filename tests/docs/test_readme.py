"""The README shows what the repository produces."""

import functools
import re
from pathlib import Path

import pytest

from tunebench.boards import leaderboard, tables

ROOT = Path(__file__).parents[2]
MARKED = re.compile(r"<!-- tunebench leaderboard (\S+) --format markdown: (.+?) -->\n(.*?)<!-- end -->", re.DOTALL)


def blocks():
    """(run folder, heading, text) of every table in the README that a command makes."""
    return MARKED.findall((ROOT / "README.md").read_text(encoding="utf-8"))


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
