"""What the documentation tells authors to type: quick checks here, the whole path in tests/chaos/test_newcomer.py."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from pages import commands, steps

from tunebench.cli import tunebench as command_line
from tunebench.plugins import PluginFile, load_registry
from tunebench.testing import Subject, run_checks

PAGES = ("plugins.md", "ci.md")
TYPED = [(page, line) for page in PAGES for line in commands(page)]
SAVED = [step for step in steps("plugins.md") if step.path]


@pytest.mark.parametrize(("page", "line"), TYPED, ids=[f"{page}-{line[:60]}" for page, line in TYPED])
def test_commands_exist(page, line):
    """Each command is one of ours, with options that it knows, or one of pip's or pytest's."""
    program, *arguments = shlex.split(line)
    assert program in ("tunebench", "pip", "pytest")
    if program == "tunebench":
        with command_line.make_context("tunebench", arguments) as context:
            name, command, rest = command_line.resolve_command(context, arguments)
            command.make_context(name, rest, parent=context)


def test_the_path_is_complete():
    """The newcomer's path has every step: a file, a package, a check, a run, an installation, tests, a gate."""
    typed = " ; ".join(line for _, line in TYPED)
    for step in ("run --plugin", "new", "check", "leaderboard", "gate"):
        assert f"tunebench {step} " in typed
    assert "pip install -e mean-difference" in typed
    assert "pytest mean-difference" in typed


@pytest.mark.parametrize("step", SAVED, ids=[step.path for step in SAVED])
def test_saved_files_hold_a_tuner_that_passes(step):
    """Whatever a reader is told to save passes every check."""
    (tuner,) = (
        item
        for _, item in load_registry(
            [PluginFile(Path(step.path).name, step.text.encode())], entry_points=False
        ).offered("tunebench_tuners")
    )
    assert [result for result in run_checks(Subject(tuner, "cpu")) if result.status != "ok"] == []


def test_first_tuner_takes_ten_lines():
    """The tutorial starts from ten lines or fewer, not counting blank ones."""
    assert len([line for line in SAVED[0].text.splitlines() if line.strip()]) <= 10


def test_tutorial_ends_with_the_example_package():
    """The edited tuner of the tutorial is the finished example's."""
    example = Path(__file__).parents[2] / "docs" / "example_plugin" / "mean_difference.py"
    assert SAVED[1].text == example.read_text("utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_compile(page):
    """No block of Python has a syntax error."""
    blocks = [step for step in steps(page) if step.kind == "python"]
    assert blocks
    for step in blocks:
        compile(step.text, page, "exec")


def test_workflow_is_valid_yaml():
    """The example workflow parses, and its last commands are a run and its gate."""
    yaml = pytest.importorskip("yaml")
    (step,) = [step for step in steps("ci.md") if step.kind == "yaml"]
    work = yaml.safe_load(step.text)["jobs"]["tests"]["steps"]
    assert [entry["run"].split()[:2] for entry in work if "run" in entry][-2:] == [
        ["tunebench", "run"],
        ["tunebench", "gate"],
    ]
