"""Nothing reaches the terminal but through one door, and nothing hostile passes it."""

import re
from pathlib import Path

import pytest
from conftest import run_command

import tunebench

PRINTS = re.compile(r"(?:click\.s?echo|click\.secho|(?<![\w.])print|sys\.std(?:out|err)\.write|tqdm\.write)\(")
DOORS = {"cli/output.py", "cli/bars.py"}
"""The door itself, and the progress bars, which have to print through tqdm."""


def test_there_is_one_door():
    """No other file of the package prints."""
    package = Path(tunebench.__file__).parent
    found = {str(path.relative_to(package)) for path in package.rglob("*.py") if PRINTS.search(path.read_text("utf-8"))}
    assert found == DOORS


PATHS = ["\x1b[2J\x1b]0;owned\x07", "a\u202etxt", "line\nbreak", "caf\udce9", "\u200eltr\x9b1A"]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("command", ["leaderboard", "gate", "merge", "run"])
def test_strange_paths_are_shown_as_escapes(tmp_path, command, name):
    """A path that is no run, or cannot be one, is named in one printable line."""
    out = tmp_path / name
    args = {
        "leaderboard": ("leaderboard", out),
        "gate": ("gate", out, "--baseline", out),
        "merge": ("merge", out, "-o", tmp_path / "new"),
        "run": ("run", out / "suite.toml"),
    }[command]
    done = run_command(*args)
    assert done.code in (2, 4)
    text = (done.err or done.out).removesuffix("\n")
    assert command == "gate" or "\n" not in text
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert "tunebench" in text or "gate" in text
