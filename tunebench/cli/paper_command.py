"""``tunebench paper``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tunebench.cli.bars import Bars
from tunebench.cli.options import data_dir_option, many
from tunebench.cli.output import say


@click.command(name="paper")
@many("-d", "--dataset", "datasets", help="One of the paper's data sets; may be repeated.  [all that are here]")
@click.option("--seeds", type=click.IntRange(1), help="Number of originals.  [MNIST 5, others 3]")
@click.option("--trials", type=click.IntRange(2), default=15, show_default=True, help="Trials per search.")
@data_dir_option
@click.option("-j", "--jobs", type=click.IntRange(1), help="Worker processes.  [usable cores]")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("tunebench-runs/paper"),
    show_default=True,
    help="Folder to write.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bars.")
def command(
    datasets: tuple[str, ...], data_dir: Path | None, jobs: int | None, out: Path, quiet: bool, **size: Any
) -> int:
    """Set the published tables and figures beside ours, selected on test and held out.

    Writes README.md, results.json and figures/ into OUT, and the cells into OUT/runs; the same command goes on where it
    was interrupted.
    """
    from tunebench.datasets import Place
    from tunebench.paper import report
    from tunebench.paper.experiments import Request
    from tunebench.results.cells import FAILURES, UNDONE
    from tunebench.workers.isolation import usable_cores

    request = Request(
        out=out,
        datasets=datasets,
        seeds=size["seeds"],
        trials=size["trials"],
        place=Place(data_dir),
        jobs=jobs or usable_cores(),
    )
    bars = Bars(quiet)
    try:
        path, counts = report.make(request, bars)
    finally:
        bars.end()
    say(", ".join(f"{count} {status}" for status, count in sorted(counts.items())) + f"; {path}")
    return 1 if {*FAILURES, UNDONE} & counts.keys() else 0
