"""``tunebench new``."""

from __future__ import annotations

from pathlib import Path

import click

from tunebench.cli.output import say


@click.command(name="new")
@click.argument("name")
def command(name: str) -> None:
    """Write a plugin package for a tuner called NAME into the folder NAME."""
    from tunebench.scaffold.scaffolding import write_package

    for path in write_package(name, Path(name)):
        say(f"wrote {path}")
    say(f"\nnow edit tune() in {name}/{name.replace('-', '_')}.py, then:\n")
    say(f"  tunebench check {name}/{name.replace('-', '_')}.py")
    say(f"  pip install -e {name} && pytest {name}")
