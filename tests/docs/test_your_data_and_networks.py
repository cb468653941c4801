"""docs/your-data-and-networks.md: whatever it says to save is saved, whatever it says to type is run, in order."""

import csv
import shlex
import subprocess
import sys

import pytest
from pages import steps

PAGE = "your-data-and-networks.md"


@pytest.fixture(scope="module")
def typed(own_cache, tunebench, tmp_path_factory):
    """What every command of the page printed, by its words, and the folder in which it was typed."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("reader")
        patch.chdir(folder)
        done = {}
        for step in steps(PAGE):
            if step.path:
                (folder / step.path).write_text(step.text, "utf-8")
            for line in step.text.splitlines() * (step.kind == "sh"):
                program, *words = shlex.split(line)
                if program == "python":
                    subprocess.run([sys.executable, *words], check=True)
                else:
                    assert program == "tunebench"
                    done[line] = tunebench(*words)
        yield folder, done


def test_every_command_works(typed):
    """Each of them succeeds, without a warning that something was left out."""
    _, done = typed
    assert len(done) == 9
    wrong = {line: outcome.err for line, outcome in done.items() if outcome.code != 0 or "warning" in outcome.err}
    assert not wrong


def test_what_the_page_says_of_names(typed):
    """Targets are called as they were typed, in rows of the networks that were named."""
    folder, _ = typed
    rows = []
    for path in folder.glob("*/leaderboard.csv"):
        with path.open(encoding="utf-8", newline="") as lines:
            rows += csv.DictReader(lines)
    assert {"seven", "nine", "nine+one"} <= {row["target_name"] for row in rows}
    assert {"lenet", "mlp:16", "nets.py:LeNet", "nets.py:wide", "small-lenet"} == {row["model"] for row in rows}
    assert {row["status"] for row in rows} == {"ok"}
