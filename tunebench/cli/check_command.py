"""``tunebench check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tunebench.cli.options import data_dir_option, many, plugin_option
from tunebench.cli.output import say

if TYPE_CHECKING:
    from tunebench.testing import Result
    from tunebench.testing.elsewhere import Report


@click.command(name="check")
@click.argument("what", metavar="[TUNER|FILE]", required=False)
@many("-m", "--model", "models", help="A network instead, by any name that run takes; may be repeated.")
@click.option("-d", "--dataset", default="digits", show_default=True, help="Data that the network is checked on.")
@data_dir_option
@plugin_option
@click.option(
    "--submission", type=click.Path(path_type=Path), metavar="OUT", help="A run folder, for a board, instead."
)
def command(what: str | None, models: tuple[str, ...], submission: Path | None, **context: Any) -> int:
    """Check a tuner by its name or glob, all tuners of a Python file, networks, or a run folder for submission."""
    if [what is None, not models, submission is None].count(False) != 1:
        raise click.UsageError("name a tuner or a file, or networks with -m, or a run folder with --submission")
    if models:
        return check_networks(models, **context)
    return check_submission(submission) if submission else check_tuners(str(what))


def check_submission(out: Path) -> int:
    """Check a run folder before its rows are offered to a board; 1 when a rule is broken."""
    from tunebench.gate.submission import examine
    from tunebench.testing import Result

    found = [Result(rule, "ok" if kept else "FAILED", "" if kept else advice) for rule, kept, advice in examine(out)]
    return 1 if told(found)["FAILED"] else 0


def check_tuners(what: str) -> int:
    """Check tuners; 1 when a check fails."""
    from tunebench.testing import elsewhere

    return shown(elsewhere.check_tuners(what))


def check_networks(models: Sequence[str], dataset: str, data_dir: Path | None, plugins: Sequence[Path]) -> int:
    """Check networks on the training samples of a data set; 1 when a check fails."""
    from tunebench.datasets import Place
    from tunebench.plugins import PluginFile
    from tunebench.testing import elsewhere

    files = tuple(PluginFile.read(path) for path in plugins)
    return shown(elsewhere.check_networks(models, dataset, Place(data_dir), files))


def shown(reports: Iterable[Report]) -> int:
    """Print reports as they come; 1 when a check has failed."""
    failed = 0
    for report in reports:
        say(report.name)
        failed += told(report.results)["FAILED"]
        if report.remark:
            say(f"  {report.remark}")
    return 1 if failed else 0


def told(results: Iterable[Result]) -> Counter[str]:
    """Print results as they come, and how many there were of each status."""
    counts: Counter[str] = Counter()
    for result in results:
        counts[result.status] += 1
        say(f"  {result.status:<7}  {result.check}" + (f": {result.text}" if result.text else ""))
    say("  " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    return counts
