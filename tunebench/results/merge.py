"""Several run folders into one, for grids that were split by hand; conflicts are refused, never averaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tunebench.errors import StoreError, UsageError
from tunebench.results.cells import FAILURES, Cell, differences, inputs_of
from tunebench.results.reading import contradictions
from tunebench.results.shapes import Damaged
from tunebench.results.store import Store

VARYING = frozenset({"tune_seconds", "provenance"})
"""What may differ between two computations of one cell."""
UNITED = ("datasets", "models", "tuners", "targets")
DESCRIBED = ("recipes", "data", "class_names")
"""What a lock says of every data set."""
NAMED = 5
"""Conflicts that an error names before it only counts."""


def merge(sources: Sequence[Path], out: Path) -> tuple[int, list[str]]:
    """Write the cells of all ``sources`` into the new folder ``out``; returns their number, and remarks.

    A failed cell gives way to the same cell without a failure. UsageError when two folders hold different results of
    one cell, or follow different rules; nothing is written then.
    """
    target = Store(out)
    target.examine()
    if target.lock() is not None:
        raise UsageError(f"{out} holds a run already; choose another -o OUT")
    stores = [Store(source) for source in sources]
    locks = [lock_of(store) for store in stores]
    remarks: list[str] = []
    chosen: dict[Cell, Store] = {}
    digests: dict[Cell, tuple[str, str]] = {}
    conflicts: list[str] = []
    for store, lock in zip(stores, locks, strict=True):
        for cell, record in agreeing(store, lock, remarks).items():
            mine = (record["status"], digest_of(record))
            if cell not in chosen or digests[cell][0] in FAILURES:
                if cell not in chosen or mine[0] not in FAILURES:
                    chosen[cell], digests[cell] = store, mine
            elif mine[0] not in FAILURES and mine != digests[cell]:
                conflicts.append(f"{cell.path.with_suffix('')} ({chosen[cell].out} and {store.out})")
    if conflicts:
        raise UsageError(f"{listed(conflicts)} differ; delete one of each, or merge only folders that agree")
    united = unite(locks, sources)
    target.prepare()
    for cell, store in chosen.items():
        copy(cell, store, target)
    target.write_lock(united)
    return len(chosen), remarks


def lock_of(store: Store) -> dict[str, Any]:
    """The resolved suite of a folder; StoreError when there is no run in it."""
    lock = store.lock()
    if lock is None:
        raise StoreError(f"{store.out} holds no run")
    return lock


def unite(locks: Sequence[dict[str, Any]], sources: Sequence[Path]) -> dict[str, Any]:
    """One resolved suite for all; UsageError where two disagree about the rules or the code of a tuner."""
    first, *others = locks
    suite, targets = dict(first["suite"]), {place: list(found) for place, found in first["targets"].items()}
    tuners = list(first["tuners"])
    described = {name: dict(first.get(name, {})) for name in DESCRIBED}
    inputs = {name: dict(part) for name, part in first["inputs"].items()}
    for lock, source in zip(others, sources[1:], strict=True):
        changed = [
            text
            for name, part in inputs.items()
            for key in part.keys() & lock["inputs"][name].keys()
            for text in differences(part[key], lock["inputs"][name][key], f"{name}.{key}")
        ]
        if changed:
            raise UsageError(f"{sources[0]} and {source} follow different rules: {listed(sorted(changed))}")
        for name, part in inputs.items():
            part.update(lock["inputs"][name])
        for key in UNITED:
            suite[key] = list(dict.fromkeys([*suite[key], *lock["suite"][key]]))
        suite["seeds"] = max(suite["seeds"], lock["suite"]["seeds"])
        for place, found in lock["targets"].items():
            targets[place] = list(dict.fromkeys([*targets.get(place, []), *found]))
        tuners = sorted({*tuners, *lock["tuners"]})
        for name, known in described.items():
            known.update(lock.get(name, {}))
    return {"suite": suite, "tuners": tuners, "targets": targets, **described, "inputs": inputs}


def usable(store: Store, lock: dict[str, Any], remarks: list[str]) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """The cells of one run that can be trusted; what is left out becomes a remark."""
    for cell, path in store.cells():
        try:
            record = store.get("cells", cell)
            if record is None or differences(record["inputs"], inputs_of(cell, lock["inputs"])):
                raise Damaged("computed from other inputs than the run says")
        except (Damaged, KeyError) as exc:
            why = exc if isinstance(exc, Damaged) else "not part of the run"
            remarks.append(f"{path} is left out: {why}")
            continue
        yield cell, record


def agreeing(store: Store, lock: dict[str, Any], remarks: list[str]) -> dict[Cell, dict[str, Any]]:
    """The `usable` cells of one run that do not contradict most of the others, as a leaderboard counts them."""
    records = dict(usable(store, lock, remarks))
    for cell, (what, place) in contradictions(records).items():
        del records[cell]
        remarks.append(f"{store.path('cells', cell)} is left out: {what} are not those of most cells of {place}")
    return records


def digest_of(record: dict[str, Any]) -> str:
    """Hex sha256 of everything in a record that computing it again would give again."""
    lasting = {name: value for name, value in record.items() if name not in VARYING}
    return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()


def copy(cell: Cell, source: Store, target: Store) -> None:
    """Copy a cell's record, and its latency measurement if there is one."""
    record = source.get("cells", cell)
    if record is None:
        raise StoreError(f"{source.path('cells', cell)} vanished; merge again")
    target.put("cells", cell, record)
    try:
        times = source.get("times", cell)
    except Damaged:
        return
    if times is not None and times["key"] == record["key"]:
        target.put("times", cell, times)


def listed(items: Sequence[str]) -> str:
    """A few items by name, the rest by number."""
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + more
