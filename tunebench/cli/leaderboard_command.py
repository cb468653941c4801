"""``tunebench leaderboard``."""

from __future__ import annotations

from pathlib import Path

import click

FORMATS = ("table", "markdown", "csv", "json", "latex", "html")


@click.command(name="leaderboard")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--format", "kind", type=click.Choice(FORMATS), default="table", show_default=True, help="What to print.")
def command(out: Path, kind: str) -> None:
    """Print the leaderboard of the run folder OUT, made anew from its cells."""
    from tunebench.boards import leaderboard, tables

    click.echo(tables.render(leaderboard.build(out), kind), nl=kind == "table")
