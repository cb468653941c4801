"""What a shell completes: commands, options, and the names that `list` has noted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunebench import hookimpl
from tunebench.cli import completion

VALUES = {
    "bash": lambda lines: [line.partition(",")[2] for line in lines],
    "zsh": lambda lines: lines[1::3],
    "fish": lambda lines: [line.partition(",")[2].partition("\t")[0] for line in lines],
}
"""What each shell reads as values from the lines that it is given."""


def completed(words, shell="bash"):
    """What a shell is offered for the last of ``words``, by a fresh process that may not import anything heavy."""
    code = (
        "import sys\n"
        "for name in ('torch', 'numpy', 'pandas', 'optuna', 'sklearn'): sys.modules[name] = None\n"
        "from tunebench.cli import main\n"
        "main()\n"
    )
    last = words.split()[-1] if shell == "fish" else str(len(words.split()) - 1)
    asked = {"_TUNEBENCH_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": last}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return VALUES[shell]([line for line in done.stdout.splitlines() if line])


@pytest.fixture
def noted(tunebench, own_cache):
    """`list` has been called."""
    assert tunebench("list").code == 0


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("tunebench lea", ["leaderboard"]),
        ("tunebench run --trial", ["--trials"]),
        ("tunebench run -t smvt", ["smvt-sj", "smvt-sj-exact"]),
        ("tunebench run -d dig", ["digits"]),
        ("tunebench run -m model", ["model1", "model2"]),
        ("tunebench run --target w", []),
    ],
)
def test_shells_are_offered(noted, words, offered):
    """Commands, options and names, without torch and the like."""
    assert completed(words) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_offered_the_same(noted, shell):
    """In the form that each of them reads."""
    assert completed("tunebench run -t smvt", shell) == ["smvt-sj", "smvt-sj-exact"]
    assert completed("tunebench run -m model", shell) == ["model1", "model2"]


@pytest.mark.parametrize("shell", VALUES)
def test_the_documented_line_prints_a_script(shell):
    """What docs/index.md says to add asks us for completions in that shell's way."""
    page = (Path(__file__).parents[2] / "docs" / "index.md").read_text("utf-8")
    assert f"_TUNEBENCH_COMPLETE={shell}_source tunebench" in page
    surroundings = {**os.environ, "_TUNEBENCH_COMPLETE": f"{shell}_source"}
    code = "import sys; sys.argv[0] = 'tunebench'; from tunebench.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_TUNEBENCH_COMPLETE={shell}_complete" in done.stdout


def test_a_damaged_note_is_none(noted, monkeypatch, tmp_path):
    """Without a note, with one that is no JSON, and with one of another shape, nothing is offered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert completion.known() == {}
    for text in ("{", "[1]", '{"tuners": 3}'):
        completion.place().parent.mkdir(exist_ok=True)
        completion.place().write_text(text)
        assert completion.known() == {}


def test_a_note_that_cannot_be_written_is_no_error(monkeypatch, tmp_path):
    """`list` goes on where the cache is no folder."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    completion.note({"tuners": {"sj": "joins"}}, "key")


def test_list_looks_again_only_when_something_changed(tunebench, own_cache, monkeypatch):
    """The second `list` says the same without loading a plugin; a blocked plugin, or other code, is seen at once."""
    first = tunebench("list", "--json")
    with monkeypatch.context() as patch:
        patch.setattr("tunebench.plugins.load_registry", None)
        assert tunebench("list", "--json") == first
    with monkeypatch.context() as patch:
        patch.setenv("TUNEBENCH_DISABLED_PLUGINS", "synapse")
        assert "smvt-sj" not in json.loads(tunebench("list", "--json").out)["tuners"]
    monkeypatch.setattr("tunebench.digests.package_digest", lambda name: "another")
    before = completion.read()[0]
    assert tunebench("list", "--json") == first
    assert completion.read()[0] != before


def test_a_broken_plugin_is_looked_at_every_time(tunebench, own_cache, monkeypatch):
    """What could not be loaded may load next time: nothing is noted of it."""
    assert tunebench("list").code == 0
    before = completion.read()
    monkeypatch.setenv("TUNEBENCH_DISABLED_PLUGINS", "nothing")

    def broken():
        raise RuntimeError("no luck")

    monkeypatch.setattr("tunebench_baseline.tunebench_tuners", hookimpl(broken))
    assert "no luck" in tunebench("list", "plugins").out
    assert completion.read() == before
