"""What a cell's file may hold: every value is checked before it is used, since files can come from strangers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from tunebench.naming import NAME
from tunebench.results.agreement import check_agreement
from tunebench.results.cells import STATUSES, Cell, key_of, place_parts
from tunebench.results.metrics import Ints, OperatingPoint, count, point_of
from tunebench.results.predictions import unpack
from tunebench.results.shapes import (
    LARGEST,
    Check,
    Damaged,
    distinct,
    exactly,
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
from tunebench.selection.budgets import BUDGETS, demand_of
from tunebench.selection.constraints import LIMITS

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
TARGET = re.compile(r"(0|[1-9]\d{0,4})(\+(0|[1-9]\d{0,4}))*", re.ASCII)
CLOSE = 1e-9
"""Metrics in a file and those that its own predictions give may differ by this much."""
RULES = ("trials", "budget", "margin", "protocol", "confidence", "recall", *LIMITS)
"""Keys of a suite that its cells are computed by."""
MOST_CELLS = 100_000
"""Cells that one run can have: data sets x models x targets x tuners x seeds."""


SHARE = number(0, 1)
COUNT = integer(0)
SECONDS = number(0, 1e9)
PARAMS = table(NAME, scalar)
METRICS: dict[str, Check] = {
    **dict.fromkeys(("ta", "oa", "oa_macro", "precision", "f1", "dot_rv", "worst_recall"), SHARE),
    **dict.fromkeys(("fell", "worst_class"), COUNT),
}
COSTS = ("params", "flops", "params_paper", "params_stored", "flops_stored")
CERTIFICATE = fields(confidence=SHARE, bound=SHARE, **dict.fromkeys(("samples", "lost", "gained", "hits"), COUNT))
POINT = fields(
    {"certificate": optional(CERTIFICATE), "missing": optional(COUNT), "share": number(0, 2)},
    trial=COUNT,
    fell_back=flag,
    params=PARAMS,
    scale=optional(number(-1e300, 1e300)),
    shift=number(-1e300, 1e300),
    valid=fields(hits=COUNT, correct=COUNT, lost=COUNT, gained=COUNT),
    test=fields(**METRICS),
    cost=fields({"bytes": COUNT}, **dict.fromkeys(COSTS, COUNT)),
    predictions=text(),
)
POINTS = table(NAME, POINT)
VARIANTS = {"plain": POINTS, "shifted": POINTS}
LATER_VARIANTS = {"certified": POINTS, "interpolated": POINTS}
"""Variants that came with a later version; there are no others."""
SPLIT = fields(train=COUNT, valid=COUNT, test=COUNT)


def target(value: Any, name: str) -> None:
    """Classes in ascending order, joined by ``+``: one text for one target."""
    text(TARGET)(value, name)
    classes = [int(part) for part in value.split("+")]
    if classes != sorted(set(classes)):
        raise Damaged(f"{name} does not name its classes in ascending order")


CELL = fields(dataset=text(NAME), model=text(NAME), target=target, tuner=text(SLUG), seed=integer(0, 10**9))
ANY = fields(
    cell=CELL,
    key=text(re.compile("[0-9a-f]{64}")),
    inputs=fields(
        cell=CELL,
        original=fields(),
        options=fields({"recall": optional(SHARE)}, budget=number(0, 100), trials=COUNT),
        tuner=text(),
    ),
    status=one_of(*STATUSES),
    reason=optional(text()),
    provenance=fields({"split": optional(SPLIT), "training": optional(fields(steps=COUNT, cpu_seconds=SECONDS))}),
)
OK = fields(
    classes=integer(2, 2**16),
    original=fields(**METRICS, valid=listing(COUNT, 2)),
    labels=text(),
    predictions=text(),
    points=exactly(fields(LATER_VARIANTS, **VARIANTS), {**VARIANTS, **LATER_VARIANTS}),
    probe=listing(listing(number(-1e300, 1e300))),
    trials=COUNT,
    regret=optional(integer(-LARGEST)),
    tune_seconds=SECONDS,
    selected_on=one_of("validation", "test"),
    history=listing(fields(trial=COUNT, params=PARAMS, score=listing(COUNT, 4))),
)
TIMES_OK = fields(
    {"like_original": flag},
    latency_us=SECONDS,
    latency_ratio=number(0, 1e9),
    latency_batch_us=SECONDS,
    latency_batch_ratio=number(0, 1e9),
)
TIMES = fields(
    key=text(re.compile("[0-9a-f]{64}")), status=one_of(*STATUSES, "mismatch")
)  # "mismatch": see tunebench.grid.latency
SUITE = fields(
    {
        "recall": optional(SHARE),
        "confidence": SHARE,
        "max_steps": COUNT,
        "protect": listing(text(NAME)),
        "synapse_layers": text(NAME),
        "max_new_params": optional(COUNT),
        "max_weight": optional(number(0, 1e300)),
    },
    seeds=integer(1, 10**4),
    trials=integer(2, 10**6),
    budget=number(0, 100),
    protocol=one_of("holdout", "paper", "own"),
    name=text(NAME),
    datasets=listing(text(NAME)),
    models=listing(text(NAME)),
    tuners=listing(text(NAME)),
    targets=listing(text(NAME)),
)
LOCK = fields(
    {"class_names": table(NAME, listing(text(NAME)))},
    suite=SUITE,
    tuners=distinct(text(SLUG)),
    targets=table(re.compile(f"{NAME.pattern}/{NAME.pattern}"), distinct(target)),
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
        check_agreement(record)


def check_times(times: Any) -> None:
    """`Damaged` unless ``times`` is a latency measurement."""
    plain(times)
    TIMES(times, "times")
    if times["status"] == "ok":
        TIMES_OK(times, "times")


def check_lock(lock: Any) -> None:
    """`Damaged` unless ``lock`` is a resolved suite that its own cells can be of."""
    plain(lock)
    LOCK(lock, "lock")
    check_plan(lock)


def check_suite(suite: Mapping[str, Any]) -> None:
    """`Damaged` unless a lock with this ``suite``, as JSON values, can be read again."""
    plain(suite)
    SUITE(suite, "suite")


def check_plan(lock: Mapping[str, Any]) -> None:
    """`Damaged` unless the cells of a lock are of a bearable number and follow the rules of its suite."""
    suite, inputs, places = lock["suite"], lock["inputs"], lock["targets"]
    cells = sum(map(len, places.values())) * len(lock["tuners"]) * suite["seeds"]
    if cells > MOST_CELLS:
        raise Damaged(f"lock has {cells:,} cells, more than {MOST_CELLS:,}")
    options = inputs["rest"].get("options", {})
    rules = {name: suite[name] for name in RULES if name in suite}
    if "protect" in rules:
        rules["protect"] = ",".join(rules["protect"])
    if places and not (isinstance(options, dict) and rules.items() <= options.items()):
        raise Damaged("lock.suite has other rules than its cells were computed by")
    for place in places:
        dataset, model = place_parts(place)
        wanted = {"dataset": dataset, "model": model, "protocol": suite["protocol"]}
        if not wanted.items() <= inputs["originals"].get(place, {}).items():
            raise Damaged("lock.inputs has another original than lock.targets")
    if places and not set(lock["tuners"]) <= inputs["code"].keys():
        raise Damaged("lock.inputs lacks the code of a tuner")


def check_figures(record: Mapping[str, Any], cell: Cell) -> None:
    """`Damaged` unless every metric follows from labels and predictions, and no budget is missing."""
    classes, options = record["classes"], record["inputs"]["options"]
    budgets = {str(float(b)) for b in BUDGETS} | {str(demand_of(options["budget"], r)) for r in demanded(options)}
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
            if points.keys() != budgets:
                raise Damaged(f"record.points.{variant} has other budgets than {', '.join(sorted(budgets))}")
            for point in points.values():
                if seen.get(point["predictions"]) != point["test"]:
                    tuned = classified(point["predictions"], original, classes)
                    compare(point["test"], point_of(count(labels, tuned, classes), before, cell.targets))
                    seen[point["predictions"]] = point["test"]
    except ValueError as exc:
        raise Damaged(str(exc)) from exc


def demanded(options: Mapping[str, Any]) -> tuple[float | None, ...]:
    """The floors of TA of a record's options: None stands for its budget."""
    return (None, options["recall"]) if options.get("recall") is not None else (None,)


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
