"""Cells computed anew are the committed ones, to the last digit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunebench.grid import plan, runner
from tunebench.grid.provenance import host
from tunebench.grid.suite import Suite
from tunebench.results.cells import Cell
from tunebench.results.store import Store

BOARD = Path(__file__).parents[2] / "leaderboards" / "digits"
TUNERS = ("smvt-sj", "weighted-finetune")
"""One that chooses synapses and one that trains; both are cheap."""
CONTENT = (
    "classes", "labels", "predictions", "original", "points", "history", "probe", "trials", "regret", "selected_on",
    "reason", "status",
)  # fmt: skip
"""What of a record is a result; the rest says where it comes from, and how long it took."""


def here_or_skip(origin):
    """Skip where sums may round otherwise than where the committed cells were computed.

    A CPU's name says little of it inside a virtual machine, so that the platform counts too.
    """
    mine = host()
    then, now = (found["versions"] | {"cpu": found["cpu"], "platform": found["platform"]} for found in (origin, mine))
    other = [f"{name} {then[name]}, here {now.get(name)}" for name in then if then[name] != now.get(name)]
    if other:
        pytest.skip(f"the committed cells were computed elsewhere: {'; '.join(other)}")


def test_cells_are_the_committed_ones(own_cache, tmp_path):
    """Search and scores of two cells of the digits board: no change of ours has moved a figure."""
    committed = {name: Store(BOARD).get("cells", Cell("digits", "model1", "9", name, 0)) for name in TUNERS}
    here_or_skip(committed[TUNERS[0]]["provenance"])
    options = {name: committed[TUNERS[0]]["options"][name] for name in ("trials", "budget")}
    suite = Suite(models=("model1",), tuners=TUNERS, targets=("9",), seeds=1, recipe="quick", **options)
    runner.run(suite, plan.RunOptions(tmp_path / "out", latency=False))
    for name, record in committed.items():
        found = Store(tmp_path / "out").get("cells", Cell("digits", "model1", "9", name, 0))
        if (
            found["provenance"]["original"] != record["provenance"]["original"]
        ):  # two machines may look alike and differ
            pytest.skip("this machine trains another original: its sums round otherwise")
        assert {part: found[part] for part in CONTENT} == {part: record[part] for part in CONTENT}
