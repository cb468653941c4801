"""What a cell's file may hold: every value is checked before it is used, since files can come from strangers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from tunebench.naming import NAME
from tunebench.results.cells import STATUSES, Cell, key_of
from tunebench.results.metrics import Ints, OperatingPoint, count, point_of
from tunebench.results.predictions import unpack
from tunebench.results.shapes import (
    LARGEST,
    Check,
    Damaged,
    fields,
    flag,
    integer,
    listing,
    number,
    one_of,
    optional,
    plain,
    scalar,
    table,
    text,
)
from tunebench.selection.budgets import BUDGETS

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
TARGET = re.compile(r"(0|[1-9]\d{0,4})(\+(0|[1-9]\d{0,4}))*", re.ASCII)
CLOSE = 1e-9
"""Metrics in a file and those that its own predictions give may differ by this much."""


SHARE = number(0, 1)
COUNT = integer(0)
SECONDS = number(0, 1e9)
PARAMS = table(NAME, scalar)
METRICS: dict[str, Check] = {
    **dict.fromkeys(("ta", "oa", "oa_macro", "precision", "f1", "dot_rv", "worst_recall"), SHARE),
    **dict.fromkeys(("fell", "worst_class"), COUNT),
}
COSTS = fields(
    {"bytes": COUNT}, **dict.fromkeys(("params", "flops", "params_paper", "params_stored", "flops_stored"), COUNT)
)
POINT = fields(
    trial=COUNT,
    fell_back=flag,
    params=PARAMS,
    scale=optional(number(-1e300, 1e300)),
    shift=number(-1e300, 1e300),
    valid=fields(hits=COUNT, correct=COUNT, lost=COUNT, gained=COUNT),
    test=fields(**METRICS),
    cost=COSTS,
    predictions=text(),
)
CELL = fields(dataset=text(NAME), model=text(NAME), target=text(TARGET), tuner=text(SLUG), seed=integer(0, 10**9))
ANY = fields(
    cell=CELL,
    key=text(re.compile("[0-9a-f]{64}")),
    inputs=fields(cell=CELL, original=fields(), options=fields(budget=number(0, 100)), tuner=text()),
    status=one_of(*STATUSES),
    reason=optional(text()),
    provenance=fields(),
)
OK = fields(
    classes=integer(2, 2**16),
    original=fields(**METRICS, valid=listing(COUNT)),
    labels=text(),
    predictions=text(),
    points=fields(plain=table(NAME, POINT), shifted=table(NAME, POINT)),
    probe=listing(listing(number(-1e300, 1e300))),
    trials=COUNT,
    regret=optional(integer(-LARGEST)),
    tune_seconds=SECONDS,
    selected_on=one_of("validation", "test"),
    history=listing(fields(trial=COUNT, params=PARAMS, score=listing(COUNT))),
)
TIMES_OK = fields(
    latency_us=SECONDS, latency_ratio=number(0, 1e9), latency_batch_us=SECONDS, latency_batch_ratio=number(0, 1e9)
)
TIMES = fields(
    key=text(re.compile("[0-9a-f]{64}")), status=one_of(*STATUSES, "mismatch")
)  # "mismatch": see tunebench.grid.latency
LOCK = fields(
    {"class_names": table(NAME, listing(text(NAME)))},
    suite=fields(
        seeds=integer(1, 10**4),
        trials=integer(2, 10**6),
        budget=number(0, 100),
        protocol=one_of("holdout", "paper", "own"),
        name=text(NAME),
        datasets=listing(text(NAME)),
        models=listing(text(NAME)),
        tuners=listing(text(NAME)),
        targets=listing(text(NAME)),
    ),
    tuners=listing(text(SLUG)),
    targets=table(re.compile(f"{NAME.pattern}/{NAME.pattern}"), listing(text(TARGET))),
    inputs=fields(originals=table(NAME, fields()), code=table(SLUG, text()), rest=fields()),
)


def check_record(record: Any, cell: Cell) -> None:
    """`Damaged` unless ``record`` is a record of ``cell`` whose figures follow from its own predictions."""
    plain(record)
    ANY(record, "record")
    if record["cell"] != asdict(cell) or record["inputs"]["cell"] != record["cell"]:
        raise Damaged("belongs to another cell")
    if key_of(record["inputs"]) != record["key"]:
        raise Damaged("its key does not follow from its inputs")
    if record["status"] == "ok":
        OK(record, "record")
        check_figures(record, cell)


def check_times(times: Any) -> None:
    """`Damaged` unless ``times`` is a latency measurement."""
    plain(times)
    TIMES(times, "times")
    if times["status"] == "ok":
        TIMES_OK(times, "times")


def check_lock(lock: Any) -> None:
    """`Damaged` unless ``lock`` is a resolved suite."""
    plain(lock)
    LOCK(lock, "lock")


def check_figures(record: Mapping[str, Any], cell: Cell) -> None:
    """`Damaged` unless every metric follows from labels and predictions, and no budget is missing."""
    classes, budgets = record["classes"], {str(float(b)) for b in (*BUDGETS, record["inputs"]["options"]["budget"])}
    if any(len(row) != classes for row in record["probe"]):
        raise Damaged("record.probe has another number of classes")
    try:
        labels = unpack(record["labels"])
        original = classified(record["predictions"], labels, classes)
        present = np.bincount(labels, minlength=classes)
        if len(present) > classes or not all(target < classes and present[target] for target in cell.targets):
            raise Damaged("record.labels lack the target or name a class that there is not")
        before = count(labels, original, classes)
        compare(record["original"], point_of(before, before, cell.targets))
        seen: dict[str, Mapping[str, Any]] = {}
        for variant, points in record["points"].items():
            if not budgets <= points.keys():
                raise Damaged(f"record.points.{variant} lacks a budget")
            for point in points.values():
                if seen.get(point["predictions"]) != point["test"]:
                    tuned = classified(point["predictions"], original, classes)
                    compare(point["test"], point_of(count(labels, tuned, classes), before, cell.targets))
                    seen[point["predictions"]] = point["test"]
    except ValueError as exc:
        raise Damaged(str(exc)) from exc


def classified(packed: str, reference: Ints, classes: int) -> Ints:
    """Unpacked predictions; ValueError for a class that there is not."""
    predictions = unpack(packed, reference)
    if predictions.max(initial=0) >= classes:
        raise ValueError(f"predictions name a class beyond {classes - 1}")
    return predictions


def compare(found: Mapping[str, Any], expected: OperatingPoint) -> None:
    """`Damaged` unless the metrics ``found`` in a file are those of its predictions."""
    for name, value in expected.items():
        if name not in found or not abs(found[name] - value) <= CLOSE:
            raise Damaged(f"{name} does not follow from the predictions")
