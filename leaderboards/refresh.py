"""Make every table of the committed leaderboards anew: their files, and what README and docs show of them.

Usage: python leaderboards/refresh.py [BOARD ...]. BOARD are folders with a run; the committed ones by default. A table
of README and docs stands between marks that name its board, or a page that a script of a board has written, and its
section:

    <!-- tunebench leaderboard BOARD --format markdown: SECTION, else SECTION -->
    <!-- end -->
    <!-- BOARD/PAGE.md: SECTION -->
    <!-- end -->

The first of the sections that there are is shown.
"""

import functools
import re
import sys
from pathlib import Path

from tunebench.boards import leaderboard, tables
from tunebench.results.store import write_text

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARKED = re.compile(
    r"(<!-- (?:tunebench leaderboard )?(\S+?)(?: --format markdown)?: (.+?) -->\n)(.*?)(?=<!-- end -->)", re.DOTALL
)
COMMITTED = ("csv", "json", "markdown")
"""Formats that a committed board holds; its page is made by those who read it."""


@functools.cache
def rendered(board: Path) -> str:
    """What ``tunebench leaderboard BOARD --format markdown`` prints, or the page."""
    if board.suffix == ".md":
        return board.read_text("utf-8")
    return tables.render(leaderboard.build(board), "markdown")


def section(board: str, headings: str) -> str:
    """The text below the first of the ``headings`` that a board's Markdown has."""
    parts = dict(re.findall(r"^## (.+?)\n\n(.*?)(?=\n## |\Z)", rendered(ROOT / board), re.DOTALL | re.MULTILINE))
    return next(parts[heading] for heading in headings.split(", else ") if heading in parts).strip()


def shown(page: str) -> str:
    """``page`` with every marked table as its board has it today."""
    return MARKED.sub(lambda found: f"{found[1]}{section(found[2], found[3])}\n", page)


def main(boards: list[Path]) -> None:
    """Write the files of ``boards``, then README and docs."""
    for board in boards:
        found = leaderboard.build(board)
        for kind in COMMITTED:
            write_text(board / tables.FILES[kind], tables.render(found, kind))
        print(board)
    for page in PAGES:
        text = page.read_text("utf-8")
        if text != shown(text):
            write_text(page, shown(text))
            print(page)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or [lock.parent for lock in ROOT.glob("leaderboards/*/suite.lock.json")])
