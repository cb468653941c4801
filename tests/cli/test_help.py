"""Every command's help: exit codes, and examples that the command understands."""

import shlex

import click
import pytest

from tunebench.cli import COMMANDS
from tunebench.cli import tunebench as group
from tunebench.cli.help import CODES, EXAMPLES, MEANINGS, USUAL
from tunebench.plugins import load_registry, summary_of

LINES = [(name, line) for name, lines in EXAMPLES.items() for line in lines]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_names_the_exit_codes(tunebench, name):
    """With the meaning of each, whatever the command."""
    text = " ".join(tunebench(name, "--help").out.split())
    assert "Exit codes: 0 done" in text
    for code in CODES.get(name, USUAL):
        assert f"{code} {MEANINGS[code]}" in text


@pytest.mark.parametrize(("name", "line"), LINES, ids=[line for _, line in LINES])
def test_examples_are_understood(tunebench, name, line):
    """Each example is in its command's help and parses."""
    assert line in tunebench(name, "--help").out
    program, *arguments = shlex.split(line)
    assert program == "tunebench"
    with group.make_context("tunebench", arguments) as context:
        found, command, rest = group.resolve_command(context, arguments)
        assert isinstance(command, click.Command)
        command.make_context(found, rest, parent=context)


def test_every_tuner_says_what_tells_it_from_its_siblings():
    """One sentence each, short enough for a line, no two the same."""
    summaries = [summary_of(tuner) for tuner in load_registry().tuners.values()]
    assert len(set(summaries)) == len(summaries) > 10
    for text in summaries:
        assert text.endswith("."), text
        assert len(text) <= 120, text
