"""``tunebench gate``."""

from __future__ import annotations

from pathlib import Path

import click

from tunebench.cli.output import say

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(name="gate")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), required=True, help="Run folder to hold OUT against.")
@click.option(
    "--fail-if",
    "limits",
    multiple=True,
    metavar="EXPR",
    help="COLUMN:CHANGE, the sign being the bad direction: ta:-0.5pt (percentage points), latency_ratio:+5% (of the "
    "baseline), params:+100 (the column's own unit). May be repeated.  [ta:-0.5pt oa:-0.2pt]",
)
@click.option("--summary", type=FILE, metavar="FILE", help="Write the verdict as Markdown, for a CI job's summary.")
@click.option("--junit", type=FILE, metavar="FILE", help="Write it as JUnit XML, for a CI service to show.")
def command(out: Path, baseline: Path, limits: tuple[str, ...], summary: Path | None, junit: Path | None) -> int:
    """Fail when the run folder OUT is worse than a baseline.

    The baseline is only read.
    """
    from tunebench import gate
    from tunebench.results.store import write_text

    parsed = [gate.Limit.parse(text) for text in limits or gate.DEFAULT_LIMITS]
    verdict = gate.compare(out, baseline, parsed)
    for file, write in ((summary, gate.summary), (junit, gate.junit)):
        if file:
            write_text(file, write(verdict))
    say(gate.render(verdict))
    return verdict.exit_code
