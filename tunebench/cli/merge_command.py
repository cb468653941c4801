"""``tunebench merge``."""

from __future__ import annotations

from pathlib import Path

import click

from tunebench.cli.output import complain, say


@click.command(name="merge")
@click.argument("sources", metavar="OUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The new run folder.")
def command(sources: tuple[Path, ...], out: Path) -> None:
    """Merge run folders of one protocol, whose cells do not contradict each other, into a new one."""
    from tunebench.boards import leaderboard, tables
    from tunebench.results.merge import merge

    count, remarks = merge(sources, out)
    for remark in remarks:
        complain(f"warning: {remark}")
    tables.write_files(leaderboard.build(out), out)
    say(f"{count} cells in {out}")
