"""A run folder as the gate sees it: rows of one seed each, and the rules that they were made by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebench.boards.leaderboard import row_of
from tunebench.errors import UsageError
from tunebench.results.cells import Cell, differences
from tunebench.results.reading import planned_blocks, read_records
from tunebench.results.store import Store
from tunebench.selection.budgets import named

Row = dict[str, Any]
Place = tuple[str, str, str, str]
"""Data set, model, target, tuner."""


@dataclass
class Run:
    """A run folder by planned place and seed; ``rows`` holds leaderboard rows of one seed each."""

    lock: Row
    rows: dict[Place, dict[int, Row]]
    machines: set[str]
    originals: dict[tuple[str, ...], Row]
    notes: list[str]

    @property
    def measured(self) -> bool:
        """Whether any cell is ok."""
        return any(row["status"] == "ok" for seeds in self.rows.values() for row in seeds.values())


def read_run(out: Path) -> Run | None:
    """The run in ``out``, or None where there is none; UsageError when there is no such folder."""
    if not out.is_dir():
        raise UsageError(f"{out} is no folder; give the folder of a run, as tunebench run -o has made it")
    store = Store(out)
    lock = store.lock()
    if lock is None:
        return None
    notes: list[str] = []
    records, times = read_records(store, lock["inputs"], notes)
    budget = named(lock["suite"])
    run = Run(lock, {}, set(), {}, notes)
    for block in planned_blocks(lock):
        for tuner in lock["tuners"]:
            seeds = run.rows.setdefault((*block, tuner), {})
            for seed in range(lock["suite"]["seeds"]):
                record = records.get(Cell(*block, tuner, seed))
                if record is None:
                    continue
                seeds[seed] = row_of(block, tuner, [record], 1, budget, times)
                if record["status"] == "ok":
                    origin = record.get("provenance", {})
                    run.machines.add(f"{origin.get('cpu')} {origin.get('device')}")
                    run.originals[(*block, str(seed))] = record["original"]
    return run


def protocol_changes(now: Row, before: Row) -> list[str]:
    """In what the rules of two runs, given by their locks, differ."""
    ours, theirs = now["inputs"], before["inputs"]
    found = differences(before["suite"]["seeds"], now["suite"]["seeds"], "seeds")
    for place in sorted(ours["originals"].keys() & theirs["originals"].keys()):
        found += differences(theirs["originals"][place], ours["originals"][place], place)
    found += differences(theirs["rest"].get("protocol"), ours["rest"].get("protocol"), "protocol")
    then, here = (inputs["rest"].get("options") or {} for inputs in (theirs, ours))
    # an option that one side does not know decides only figures that it does not have
    shared = then.keys() & here.keys()
    return found + differences({k: then[k] for k in shared}, {k: here[k] for k in shared}, "options")


def version_changes(now: Row, before: Row) -> list[str]:
    """In what the software of two runs differs."""
    ours, theirs = (
        {key: value for key, value in lock["inputs"]["rest"].items() if key not in ("options", "protocol")}
        for lock in (now, before)
    )
    return differences(theirs, ours)


def label(place: Place) -> str:
    """A row in words."""
    dataset, model, target, tuner = place
    return f"{tuner} on {dataset} {model} class {target}"
