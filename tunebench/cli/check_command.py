"""``tunebench check``."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tunebench.tuner import Tuner


@click.command(name="check")
@click.argument("what", metavar="TUNER|FILE")
def command(what: str) -> int:
    """Check a tuner by its name or glob, or all tuners of a Python file."""
    from tunebench.testing import Subject, run_checks

    tuners = tuners_of(what)
    import torch

    torch.set_num_threads(1)
    failed = 0
    for tuner in tuners:
        click.echo(tuner.name)
        subject, start = Subject(tuner), time.perf_counter()
        counts = {"ok": 0, "FAILED": 0, "not run": 0}
        for result in run_checks(subject):
            counts[result.status] += 1
            click.echo(f"  {result.status:<7}  {result.check}" + (f": {result.text}" if result.text else ""))
        failed += counts["FAILED"]
        click.echo("  " + ", ".join(f"{count} {status}" for status, count in counts.items() if count))
        if subject.seconds:
            trial = f"{1000 * statistics.median(subject.seconds):.1f} ms per trial on {subject.device}"
            slowest = f"{1000 * subject.slowest:.1f} ms at the slowest corner"
            click.echo(f"  {trial}, {slowest}; checked in {time.perf_counter() - start:.1f} s")
    return 1 if failed else 0


def tuners_of(what: str) -> list[Tuner]:
    """The tuners that ``what`` names; UsageError or PluginError when there is none."""
    from tunebench.errors import PluginError
    from tunebench.plugins import PluginFile, load_registry
    from tunebench.tuner import Tuner

    if not (what.endswith(".py") or Path(what).is_file()):
        registry = load_registry()
        return [registry.tuner(name) for name in registry.select([what])]
    file = PluginFile.read(Path(what))
    registry = load_registry([file], entry_points=False)
    offered = [item for _, item in registry.offered_tuners()]
    for problem in registry.problems.values():
        raise PluginError(f"{what}: {problem}")
    wrong = [type(item).__name__ for item in offered if not isinstance(item, Tuner)]
    if wrong or not offered:
        raise PluginError(f"{what}: tunebench_tuners() returned {wrong[0] if wrong else 'nothing'}, not a Tuner")
    return offered
