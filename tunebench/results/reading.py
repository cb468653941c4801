"""A run folder read whole: records checked one by one and against each other; what fails is a note, never a number."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunebench.errors import StoreError
from tunebench.results.cells import Cell, differences, inputs_of, place_parts
from tunebench.results.predictions import digest
from tunebench.results.records import COSTS
from tunebench.results.store import Damaged, Store

Row = dict[str, Any]
UNVERIFIED = (
    "taken as the files say, since only a run can verify it: parameters, FLOPs, bytes, times, counts on validation"
)


def opened(out: Path) -> tuple[Store, Row]:
    """The store of a run folder and its lock; StoreError when there is no run in it."""
    store = Store(out)
    lock = store.lock()
    if lock is None:
        raise StoreError(f"{out} holds no run; start one with: tunebench run -o {out}")
    return store, lock


def planned_blocks(lock: Row) -> list[tuple[str, str, str]]:
    """Every data set x model x target of the run."""
    return [(*place_parts(place), target) for place, targets in lock["targets"].items() for target in targets]


def read_records(store: Store, common: Row, notes: list[str]) -> tuple[dict[Cell, Row], dict[Cell, Row]]:
    """All records and latency measurements of this very run; what is unusable becomes a note, never a number.

    ``common`` are the run's inputs (see `common_inputs` of `tunebench.results.cells`): a cell that was computed from
    others, by other code or with other options, is not averaged with the rest.
    """
    records: dict[Cell, Row] = {}
    outdated: Counter[str] = Counter()
    for cell, path in store.cells():
        try:
            wanted = inputs_of(cell, common)
        except KeyError:  # of another run
            continue
        try:
            record = store.get("cells", cell)
        except Damaged as exc:
            notes.append(f"{path.name} of {cell.tuner} on {cell.dataset} {cell.model} is not counted: {exc}")
            continue
        changed = [] if record is None else differences(record["inputs"], wanted)
        if changed:
            outdated[changed[0]] += 1
        elif record is not None:
            records[cell] = record
    odd = contradictions(records)
    for cell in odd:
        del records[cell]
    notes += unlike_originals(records)
    for (what, place), count in sorted(Counter(odd.values()).items()):
        notes.append(f"not counted, {count} cells of {place}: {what} are not those of most cells beside them")
    notes += [f"not counted, {count} cells from other inputs: {what}" for what, count in sorted(outdated.items())]
    times = {cell: found for cell, record in records.items() if (found := measured_times(store, cell, record["key"]))}
    store.remember()
    return records, times


def measured_times(store: Store, cell: Cell, key: str) -> Row | None:
    """The latency measurement of the record of that key, if there is one that can be used."""
    try:
        times = store.get("times", cell)
    except Damaged:
        return None
    return times if times is not None and times["key"] == key and times["status"] == "ok" else None


def unlike_originals(records: Mapping[Cell, Row]) -> list[str]:
    """A remark for every network whose cells were not all computed from the same weights: machines can differ."""
    weights: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    for cell, record in records.items():
        weights[cell.dataset, cell.model, cell.seed].add(str(record["provenance"].get("original")))
    return [
        f"{dataset} {model} seed {seed}: machines trained {len(found)} different originals, so its cells are not "
        "paired; share one cache and run again"
        for (dataset, model, seed), found in sorted(weights.items())
        if len(found) > 1
    ]


def contradictions(records: Mapping[Cell, Row]) -> dict[Cell, tuple[str, str]]:
    """Cells that contradict the others, in what, and where.

    What is a fact of the data set or of the original has to be the same in all records of it: a cell is trusted
    when more than half of them say what it says.
    """
    said: dict[tuple[str, str], dict[Cell, Any]] = defaultdict(dict)
    for cell, record in records.items():
        if record["status"] == "ok":
            for what, place, value in shared_facts(cell, record):
                said[what, place][cell] = value
    odd: dict[Cell, tuple[str, str]] = {}
    for key, values in said.items():
        counts = Counter(values.values())
        for cell, value in values.items():
            if 2 * counts[value] <= len(values):
                odd.setdefault(cell, key)
    return odd


def shared_facts(cell: Cell, record: Row) -> Iterator[tuple[str, str, Any]]:
    """What ``record`` says of things that it shares with other cells: what, of what, and the value."""
    original = f"{cell.dataset} {cell.model} seed {cell.seed}"
    yield "test labels", cell.dataset, (record["classes"], digest(record["labels"]))
    yield "the original's predictions", original, digest(record["predictions"])
    yield "the original's counts on validation", f"{original} class {cell.target}", tuple(record["original"]["valid"])
    for point in record["points"]["plain"].values():
        if point["fell_back"]:
            yield "the original's costs", original, tuple(point["cost"][name] for name in COSTS)
            return
