"""``tunebench check``."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tunebench.cli.options import data_dir_option, many, plugin_option
from tunebench.cli.output import say

if TYPE_CHECKING:
    from tunebench.testing import Result
    from tunebench.tuner import Tuner


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
    from tunebench.testing import Subject, run_checks

    tuners = tuners_of(what)
    import torch

    torch.set_num_threads(1)
    failed = 0
    for tuner in tuners:
        say(tuner.name)
        subject, start = Subject(tuner), time.perf_counter()
        failed += told(run_checks(subject))["FAILED"]
        if subject.seconds:
            trial = f"{1000 * statistics.median(subject.seconds):.1f} ms per trial on {subject.device}"
            slowest = f"{1000 * subject.slowest:.1f} ms at the slowest corner"
            say(f"  {trial}, {slowest}; checked in {time.perf_counter() - start:.1f} s")
    return 1 if failed else 0


def check_networks(models: Sequence[str], dataset: str, data_dir: Path | None, plugins: Sequence[Path]) -> int:
    """Check networks on the training samples of a data set; 1 when a check fails."""
    import torch

    from tunebench.datasets import Place, open_dataset
    from tunebench.networks.models import find_model, offered_models
    from tunebench.plugins import PluginFile, load_registry
    from tunebench.testing import NETWORK_CHECKS, NetworkSubject, run_checks
    from tunebench.testing.network_checks import seen_by_tuners

    torch.set_num_threads(1)
    registry = load_registry([PluginFile.read(path) for path in plugins])
    extra = offered_models(registry).values()
    data = open_dataset(dataset, Place(data_dir), registry.named("tunebench_datasets")).train()
    failed = 0
    for spec in [find_model(name, extra) for name in models]:
        say(spec.name)
        subject = NetworkSubject(spec, data)
        counts = told(run_checks(subject, NETWORK_CHECKS))
        failed += counts["FAILED"]
        if not isinstance(subject.first, Exception):
            say(f"  {seen_by_tuners(subject)}")
    return 1 if failed else 0


def told(results: Iterable[Result]) -> Counter[str]:
    """Print results as they come, and how many there were of each status."""
    counts: Counter[str] = Counter()
    for result in results:
        counts[result.status] += 1
        say(f"  {result.status:<7}  {result.check}" + (f": {result.text}" if result.text else ""))
    say("  " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    return counts


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
