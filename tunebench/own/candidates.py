"""The networks of all candidates of a `tune` run as files, in the order in which `certify` walks them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tunebench.errors import UsageError
from tunebench.naming import path_part
from tunebench.own.comparison import Comparison
from tunebench.own.files import Written, write_network
from tunebench.own.pick import Line


def write_candidates(comparison: Comparison, lines: Sequence[Line], folder: Path) -> list[Written]:
    """Write the network of every candidate but the original, each to a folder of its own, by name the safest first.

    Safest is what loses least OA on the samples that chose: new samples have no part in that order, as they must not
    in a path that is to be certified on them. Networks that an earlier call left in ``folder`` are removed, and
    nothing else in it.
    """
    for stale in networks(folder):
        stale.unlink()
    good = [line for line in lines if line.status == "ok" and line.tuner != "original"]
    for number, line in enumerate(sorted(good, key=lambda line: (-line.oa, line.tuner)), 1):
        network, task = comparison.rebuild(line.tuner, line.variant), comparison.task
        write_network(network, task.model, task.x_valid, folder / f"{number:02}-{path_part(line.tuner)}", ())
    return [Written(folder, "all candidates, the safest first: certify takes it as --tuned")] if good else []


def path_of(named: Iterable[Path]) -> list[Path]:
    """The networks that were named, those of a folder in the order of their names; UsageError for an empty one."""
    found: list[Path] = []
    for path in named:
        inside = networks(path) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"{path} holds no candidates; make them with tunebench tune --candidates")
        found += inside
    return found


def networks(folder: Path) -> list[Path]:
    """The files that `write_candidates` has put into a folder, in the order of their names."""
    return sorted(folder.glob("[0-9]*-*/tuned.*"))
