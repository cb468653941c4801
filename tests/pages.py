"""The commands and files that a page of the documentation gives its reader."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"(?:Save this as `(?P<path>[^`]+)`:\n\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.S)


class Step(NamedTuple):
    """A fenced block: ``path`` is the file that a reader saves it as, None where it is not to be saved."""

    kind: str
    text: str
    path: str | None


def steps(page: str) -> list[Step]:
    """The fenced blocks of ``docs/PAGE``, in order."""
    text = (DOCS / page).read_text("utf-8")
    return [Step(match["kind"], match["text"], match["path"]) for match in BLOCK.finditer(text)]


def commands(page: str) -> list[str]:
    """Every shell command of a page, one a line, and those of its workflow."""
    found = []
    for step in steps(page):
        if step.kind == "sh":
            found += [line for line in step.text.splitlines() if line.strip()]
        elif step.kind == "yaml":
            found += re.findall(r"- run: (.+)", step.text)
    return found
