"""The door through which every text leaves for the terminal."""

from __future__ import annotations

import click

from tunebench.naming import one_line, printable


def say(text: str, nl: bool = True) -> None:
    """Print a result on stdout; what a stranger's name could do to a terminal is shown as an escape."""
    click.echo(printable(text), nl=nl)


def complain(text: str) -> None:
    """Print one line on stderr, as ours."""
    click.echo(f"tunebench: {one_line(text)}", err=True)
