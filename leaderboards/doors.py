"""One row of every board made through the other door: `tunebench.tune`, as a user calls it on a network of her own.

Usage: python leaderboards/doors.py [BOARD ...]. The network is the first original of seed 0 and its data are the
same samples, so that both doors have to come to the same network, bit for bit. Writes doors.md.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import tabulate
import torch

import tunebench
from tunebench.datasets import Place
from tunebench.grid.plan import RunOptions, make_plan
from tunebench.grid.suite import Suite
from tunebench.grid.tasks import load_task, load_test
from tunebench.networks.activations import forward
from tunebench.networks.originals import ensure_original
from tunebench.results.cells import Cell
from tunebench.results.reading import opened, planned_blocks

ROOT = Path(__file__).parent
TUNERS, VARIANT = ("smvt-sj-exact", "logit-bias"), "shifted"
"""Solved exactly on validation, without a seed of their own; the first that a board ran."""
TITLE = """# One engine behind both doors

Made by `tox -e boards`. A board's original of seed 0 and its samples, given to `tunebench.tune` as a user would give
her own: the test scores of the tuned network beside those of the board's cell.

"""


class Row(NamedTuple):
    """TA and OA of one tuned network on test, by each door, as shares."""

    board: str
    dataset: str
    model: str
    target: str
    tuner: str
    grid: tuple[float, float]
    tune: tuple[float, float]


def row_of(board: Path, data: Path | None) -> Row:
    """The row of one board; trains an original that is not cached. ``data`` is the folder of data sets."""
    store, lock = opened(board)
    dataset, model, name = planned_blocks(lock)[0]
    cell, record = next(
        (cell, record)
        for cell in (Cell(dataset, model, name, tuner, 0) for tuner in TUNERS)
        if (record := store.get("cells", cell)) is not None and record["status"] == "ok"
    )
    known = {name: tuple(value) if isinstance(value, list) else value for name, value in lock["suite"].items()}
    suite = Suite(**known | {"datasets": (dataset,), "models": (model,), "tuners": (cell.tuner,)})
    plan = make_plan(suite, RunOptions(board, place=Place(data)))
    key, spec = next(plan.originals()), plan.models[model]
    ensure_original(key, spec)
    device = torch.device("cpu")
    task, test = load_task(key, spec, cell.targets, cell.tuner, device), load_test(key, cell.targets, device)
    fit, choose = (task.x_train, task.y_train), (task.x_valid, task.y_valid)
    found = tunebench.tune(task.model, fit, choose, task.target, budget=suite.budget, tuners=(cell.tuner,))
    hit = forward(found.details.comparison.rebuild(cell.tuner, VARIANT), test.x).argmax(1) == test.y
    scores = record["points"][VARIANT][str(float(suite.budget))]["test"]
    ta = float(hit[test.y == task.target].double().mean())
    return Row(
        board.name, dataset, model, name, cell.tuner, (scores["ta"], scores["oa"]), (ta, float(hit.double().mean()))
    )


def main(boards: list[Path]) -> None:
    """Write the table; exit 1 where the doors differ."""
    data = Path(os.environ["TUNEBENCH_DATA"]) if "TUNEBENCH_DATA" in os.environ else None
    rows = [row_of(board, data) for board in boards]
    cells = [[*row[:5], *(f"{100 * share:.2f}" for share in (*row.grid, *row.tune))] for row in rows]
    head = ["board", "data", "network", "class", "tuner", "TA % of the grid", "OA %", "TA % through tune", "OA %"]
    table = tabulate.tabulate(
        cells, head, tablefmt="github", disable_numparse=True, colalign=["left"] * 5 + ["right"] * 4
    )
    (ROOT / "doors.md").write_text(f"{TITLE}{table}\n", "utf-8")
    sys.exit(any(row.grid != row.tune for row in rows))


if __name__ == "__main__":
    chosen = [Path(name) for name in sys.argv[1:]]
    main(chosen or sorted(lock.parent for lock in ROOT.glob("*/suite.lock.json")))
