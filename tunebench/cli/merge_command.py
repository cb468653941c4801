"""``tunebench merge``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="merge")
@click.argument("sources", metavar="OUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The new run folder.")
def command(sources: tuple[Path, ...], out: Path) -> None:
    """Merge run folders of one protocol, whose cells do not contradict each other, into a new one."""
    from tunebench.boards import leaderboard, tables
    from tunebench.results.merge import merge

    count, remarks = merge(sources, out)
    for remark in remarks:
        click.echo(f"tunebench: warning: {remark}", err=True)
    tables.write_files(leaderboard.build(out), out)
    click.echo(f"{count} cells in {out}")
