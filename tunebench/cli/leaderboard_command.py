"""``tunebench leaderboard``."""

from __future__ import annotations

from pathlib import Path

import click

from tunebench.cli.output import say

FORMATS = ("table", "markdown", "csv", "json", "latex", "html")


@click.command(name="leaderboard")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="html: one page, no network.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write there, such as page.html.")
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Draw every chart into DIR, SVG and PNG.")
def command(out: Path, kind: str, output: Path | None, plots: Path | None) -> None:
    """Print the leaderboard of the run folder OUT, made anew from its cells."""
    from tunebench.boards import leaderboard, tables
    from tunebench.results.store import write_text

    board = leaderboard.build(out)
    if plots:
        from tunebench.boards.plots import write

        say(f"{len(write(board, plots))} files in {plots}")
    if output:
        write_text(output, tables.render(board, kind))
    elif not plots:
        say(tables.render(board, kind), nl=kind == "table")
