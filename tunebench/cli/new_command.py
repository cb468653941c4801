"""``tunebench new``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="new")
@click.argument("name")
def command(name: str) -> None:
    """Write a plugin package for a tuner called NAME into the folder NAME."""
    from tunebench.scaffold.scaffolding import write_package

    for path in write_package(name, Path(name)):
        click.echo(f"wrote {path}")
    click.echo(f"\nnow edit tune() in {name}/{name.replace('-', '_')}.py, then:\n")
    click.echo(f"  tunebench check {name}/{name.replace('-', '_')}.py")
    click.echo(f"  pip install -e {name} && pytest {name}")
