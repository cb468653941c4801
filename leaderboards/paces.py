"""What tuners take per trial, from the committed boards, for the estimates of ``run --dry-run``: grid/paces.json.

Usage: python leaderboards/paces.py. The boards were computed on some machine, so run this on one like it, idle.
"""

import json
from collections import defaultdict
from pathlib import Path
from statistics import geometric_mean, median

import torch
from torch.nn.functional import cross_entropy

from tunebench.grid.estimate import BATCH, quickest
from tunebench.networks.models import PAPER_WIDTHS, mlp
from tunebench.plugins import load_registry
from tunebench.results.store import Store, write_text

HERE = Path(__file__).parent
TARGET = HERE.parent / "tunebench" / "grid" / "paces.json"
SIZES = {"digits": (1437, 64), "mnist": (60_000, 784), "fashion-mnist": (60_000, 784)}
"""Training samples and inputs of the data sets."""
BOARDS = (("digits",), ("mnist-converged", "fashion-mnist-converged"))
"""Boards of little and of much work; of several the geometric mean."""
LEAST = 1e-5
"""Seconds that even a tuner without a search takes."""


def trials_of(board: str) -> dict[str, float]:
    """Median seconds of one trial, by tuner."""
    store, tuners, found = Store(HERE / board), load_registry().tuners, defaultdict(list)
    trials = store.lock()["suite"]["trials"]
    for cell, _ in store.cells():
        record = store.get("cells", cell)
        if record["status"] == "ok":
            found[cell.tuner].append(record["tune_seconds"] / (trials if tuners[cell.tuner].search_space() else 1))
    return {name: max(median(seconds), LEAST) for name, seconds in found.items()}


def epoch_of(dataset: str, widths: tuple[int, ...]) -> float:
    """Seconds of an epoch of a plain network, here."""
    samples, inputs = SIZES[dataset]
    model = mlp(widths, (inputs,), 10)
    x, y = torch.randn(BATCH, inputs), torch.zeros(BATCH, dtype=torch.int64)

    def step() -> None:
        model.zero_grad()
        cross_entropy(model(x), y).backward()

    return quickest(step, 1.0) * samples / BATCH


def main() -> None:
    """Write grid/paces.json."""
    torch.set_num_threads(1)
    small, large = ([trials_of(board) for board in boards] for boards in BOARDS)
    means = [
        {name: geometric_mean([part[name] for part in parts]) for name in sorted(set.intersection(*map(set, parts)))}
        for parts in (small, large)
    ]
    seconds = {name: [round(mean[name], 5) for mean in means] for name in means[0] if name in means[1]}
    work = [round(epoch_of(name, PAPER_WIDTHS["model1"]), 4) for name in ("digits", "mnist")]
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(pair)}" for name, pair in seconds.items())
    write_text(TARGET, f'{{\n "work": {json.dumps(work)},\n "seconds": {{\n{lines}\n }}\n}}\n')


if __name__ == "__main__":
    main()
