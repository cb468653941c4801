"""What tuners take per trial, from the committed boards, for the estimates of ``run --dry-run``: grid/paces.json.

Usage: python leaderboards/paces.py [DIGITS]. The boards were computed somewhere; run this on a machine like that, idle.
DIGITS is a fresh run of digits/suite.toml, if there is one: a trial there takes milliseconds, so that what workers once
did at their start would count. Which tuners train the network is found out on one that cannot be trained, and which
compressions make such, on a board.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from statistics import geometric_mean, median

import torch

from tunebench import Inapplicable, Tuner
from tunebench.grid.estimate import BATCH, step_of
from tunebench.networks.models import PAPER_WIDTHS, mlp
from tunebench.plugins import load_registry
from tunebench.results.store import Store, write_text
from tunebench.testing import small_task
from tunebench.testing.points import middle

HERE = Path(__file__).parent
TARGET = HERE.parent / "tunebench" / "grid" / "paces.json"
SIZES = {"digits": (1437, 64), "mnist": (60_000, 784), "fashion-mnist": (60_000, 784)}
"""Training samples and inputs of the data sets."""
BOARDS = (("digits",), ("mnist-converged", "fashion-mnist-converged"))
"""Boards of little and of much work; of several the geometric mean."""
COMPRESSED = "compressed"
"""The board of compressed networks."""
LEAST = 1e-5
"""Seconds that even a tuner without a search takes."""


def trials_of(board: Path) -> dict[str, float]:
    """Median seconds of one trial, by tuner."""
    store, tuners, found = Store(board), load_registry().tuners, defaultdict(list)
    trials = store.lock()["suite"]["trials"]
    for cell, _ in store.cells():
        record = store.get("cells", cell)
        if record["status"] == "ok":
            found[cell.tuner].append(record["tune_seconds"] / (trials if tuners[cell.tuner].search_space() else 1))
    return {name: max(median(seconds), LEAST) for name, seconds in found.items()}


def epoch_of(dataset: str, widths: tuple[int, ...]) -> float:
    """Seconds of an epoch of a plain network, here."""
    samples, inputs = SIZES[dataset]
    return step_of(mlp(widths, (inputs,), 10), (inputs,), 1.0) * samples / BATCH


def trains(tuner: Tuner) -> bool:
    """Whether a tuner trains the network, so that it passes over one whose weights no gradient can move."""
    task = small_task()
    task.model.untrainable = "fixed"
    if tuner.skip(task) is not None:
        return False
    try:
        tuner.tune(task, middle(tuner.search_space()), tuner.prepare(task))
    except Inapplicable:
        return True
    return False


def untrainable(trainers: Collection[str]) -> list[str]:
    """Compressions on whose networks every one of ``trainers`` that was there was skipped."""
    store, seen = Store(HERE / COMPRESSED), defaultdict(set)
    for cell, _ in store.cells():
        if cell.tuner in trainers and "+" in cell.model:
            seen[cell.model.rpartition("+")[2]].add(store.get("cells", cell)["status"])
    return sorted(name for name, statuses in seen.items() if statuses == {"skipped"})


def main() -> None:
    """Write grid/paces.json."""
    torch.set_num_threads(1)
    boards = {"digits": Path(sys.argv[1])} if len(sys.argv) > 1 else {}
    small, large = ([trials_of(boards.get(name, HERE / name)) for name in names] for names in BOARDS)
    means = [
        {name: geometric_mean([part[name] for part in parts]) for name in sorted(set.intersection(*map(set, parts)))}
        for parts in (small, large)
    ]
    seconds = {name: [round(mean[name], 5) for mean in means] for name in means[0] if name in means[1]}
    work = [round(epoch_of(name, PAPER_WIDTHS["model1"]), 4) for name in ("digits", "mnist")]
    trainers = [name for name, tuner in sorted(load_registry().tuners.items()) if name in seconds and trains(tuner)]
    facts = {
        "work": work,
        "samples": [SIZES[name][0] for name in ("digits", "mnist")],
        "trains": trainers,
        "untrainable": untrainable(trainers),
        "seconds": seconds,
    }
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in facts.items())
    write_text(TARGET, f"{{\n{lines}\n}}\n".replace('], "', '],\n  "'))


if __name__ == "__main__":
    main()
