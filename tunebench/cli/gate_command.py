"""``tunebench gate``."""

from __future__ import annotations

from pathlib import Path

import click

from tunebench.cli.output import say


@click.command(name="gate")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), required=True, help="Run folder to hold OUT against.")
@click.option(
    "--fail-if",
    "limits",
    multiple=True,
    metavar="EXPR",
    help="COLUMN:CHANGE, the sign being the bad direction: ta:-0.5pt, latency_ratio:+5%. May be repeated.  "
    "[ta:-0.5pt oa:-0.2pt]",
)
def command(out: Path, baseline: Path, limits: tuple[str, ...]) -> int:
    """Fail when the run folder OUT is worse than a baseline.

    The baseline is only read.
    """
    from tunebench import gate

    parsed = [gate.Limit.parse(text) for text in limits or gate.DEFAULT_LIMITS]
    verdict = gate.compare(out, baseline, parsed)
    say(gate.render(verdict))
    return verdict.exit_code
