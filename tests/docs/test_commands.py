"""Every command on every page is one of ours with options that it knows; those of docs/reading.md run."""

import shlex
from pathlib import Path

import pytest
from pages import DOCS, steps

from tunebench.cli import tunebench as command_line

PAGES = ["../README.md", *sorted(path.name for path in DOCS.glob("*.md"))]


def typed(page):
    """The tunebench commands of a page's shell blocks, as lists of words, without the program."""
    found = []
    for step in steps(page):
        for part in "\n".join([step.text] * (step.kind == "sh")).replace("&&", "\n").splitlines():
            words = shlex.split(part, comments=True)
            if words and Path(words[0]).name == "tunebench":
                found.append(words[1:])
    return found


TYPED = [(page, words) for page in PAGES for words in typed(page)]


@pytest.mark.parametrize(("page", "words"), TYPED, ids=[f"{page} {' '.join(words)[:70]}" for page, words in TYPED])
def test_commands_are_understood(page, words):
    """Parsed by the command itself, with nothing run."""
    with command_line.make_context("tunebench", words) as context:
        name, command, rest = command_line.resolve_command(context, words)
        command.make_context(name, rest, parent=context)


def test_pages_have_commands():
    """Of README, the first page and the one on reading, each shows some."""
    assert {"../README.md", "index.md", "reading.md", "publishing.md"} <= {page for page, _ in TYPED}


def test_the_page_on_tune_has_every_option():
    """What it says of itself; ``--help`` is on every command."""
    page = (DOCS / "tune.md").read_text("utf-8")
    with command_line.make_context("tunebench", ["tune"]) as context:
        _, command, _ = command_line.resolve_command(context, ["tune"])
    options = {option for param in command.params for option in param.opts}
    assert [option for option in sorted(options - {"-h", "--help"}) if f"`{option}`" not in page] == []


@pytest.fixture
def after_a_run(digits_run, tmp_path, monkeypatch):
    """A folder in which ``tunebench run`` has been called."""
    (tmp_path / "tunebench-runs").mkdir()
    (tmp_path / "tunebench-runs" / "digits").symlink_to(digits_run)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("words", [words for words in typed("reading.md") if words[0] != "run"], ids=" ".join)
def test_what_the_page_on_reading_says_works(tunebench, after_a_run, words):
    """Each of its commands succeeds and prints something."""
    done = tunebench(*words)
    assert done.code == 0, done.err
    assert done.out


def test_the_notebook_works(after_a_run):
    """The Python of the page on reading runs; its tables hold what they say."""
    (block,) = [step.text for step in steps("reading.md") if step.kind == "python"]
    names = {}
    exec(block, names)
    run = names["run"]
    assert names["best"]["ta_gain"].is_monotonic_decreasing
    assert set(names["classes"]["variant"]) == {"shifted"}
    share = run.predictions().query(
        "label == @target and tuner == 'smvt-sj'", local_dict={"target": int(run.rows["target"].iloc[0])}
    )
    hit = (share["tuned"] == share["label"]).mean()
    assert hit == pytest.approx(run.rows.set_index("tuner")["ta"]["smvt-sj"])
    assert len(names["wrong"]) == (run.predictions()["tuned"] != run.predictions()["label"]).sum()
    assert set(run.curves["variant"]) == {"plain", "shifted", "interpolated", "certified"}
    assert (len(run.contrasts), len(run.pairs)) == (14, 20)


def test_the_page_of_tuners_is_made_from_the_code(tunebench):
    """docs/tuners.md is what the command prints; make it again with: tunebench list tuners --markdown."""
    assert (DOCS / "tuners.md").read_text("utf-8") == tunebench("list", "tuners", "--markdown").out
