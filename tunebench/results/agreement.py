"""What a record says twice has to agree: its search with its choices, its choices with their budgets; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunebench.errors import UsageError
from tunebench.results.predictions import unpack
from tunebench.results.shapes import Damaged
from tunebench.selection.budgets import allowance
from tunebench.selection.certificate import loss_bound, recall_bound

Record = Mapping[str, Any]


def check_agreement(record: Record) -> None:
    """`Damaged` where an ok record contradicts itself; its shape and its metrics have been checked before."""
    options, split = record["inputs"]["options"], record["provenance"].get("split")
    protocol = record["inputs"]["original"].get("protocol")
    require(record.get("options", options) == options, "options are not those of its inputs")
    require(record["selected_on"] == ("test" if protocol == "paper" else "validation"), "selected_on is not its rule")
    history = record["history"]
    numbered = [step["trial"] for step in history] == list(range(1, len(history) + 1))
    require(numbered and record["trials"] == (len(history) or 1), "trials are not those of its history")
    require(record["trials"] <= max(1, options["trials"] - 1), "trials are more than its options allow")
    require(split is None or split["test"] == len(unpack(record["labels"])), "split is not that of its labels")
    for variant, points in record["points"].items():
        for budget, point in points.items():
            name = f"points.{variant}.{budget}"
            check_choice(record, point, name)
            if variant == "plain":
                check_plain(history, point, name)
            if variant in ("plain", "shifted"):
                require(point.get("share", 1) == 1, f"{name} is interpolated")
            if variant == "certified":
                check_certificate(point, budget, name)
            if split is not None:
                check_counts(record["original"]["valid"], point["valid"], split["valid"], name)
                if variant != "certified" and not budget.startswith("recall"):
                    check_budget(record["original"]["valid"], point["valid"], (float(budget), split["valid"]), name)
    for budget, point in record["points"].get("interpolated", {}).items():
        if not budget.startswith("recall"):
            check_nested(record["points"]["shifted"][budget], point, f"points.interpolated.{budget}")


def check_choice(record: Record, point: Record, name: str) -> None:
    """A choice is a trial of the search; trial 0 is the unchanged original, but for a shift."""
    trial, history = point["trial"], record["history"]
    require(trial <= record["trials"], f"{name} is of a trial that there was not")
    require(point["fell_back"] == (trial == 0), f"{name}.fell_back does not follow from its trial")
    tried = history[trial - 1]["params"] if trial and history else point["params"] if trial else {}
    require(point["params"].items() <= tried.items(), f"{name}.params are not those of its trial")
    require(point["scale"] is None or point.get("share", 1) == 1, f"{name} is scaled twice")
    if trial == 0:
        require(point["scale"] is None and point.get("share", 1) == 1, f"{name} scales the original")
        unchanged = point["shift"] != 0 or not unpack(point["predictions"]).any()
        require(unchanged, f"{name} is the original and predicts otherwise")


def check_plain(history: list[Record], point: Record, name: str) -> None:
    """A plain choice has no shift, and unless its scale was solved for the budget it scores what its trial scored."""
    require(point["shift"] == 0, f"{name} has a shift")
    if point["trial"] and history and point["scale"] is None:
        score = [point["valid"][count] for count in ("hits", "correct", "lost", "gained")]
        require(score == history[point["trial"] - 1]["score"], f"{name}.valid is not the score of its trial")


def check_nested(shifted: Record, point: Record, name: str) -> None:
    """An interpolated choice is none that shifted beats: all that shifted chose was a candidate."""
    mine, other = ((found["valid"]["hits"], found["valid"]["correct"]) for found in (point, shifted))
    require(mine >= other, f"{name}.valid is worse than shifted")


def check_counts(original: list[int], found: Record, samples: int, name: str) -> None:
    """Counts on the selection split follow from the original's right samples, the second of ``original``."""
    require(found["correct"] == original[1] - found["lost"] + found["gained"], f"{name}.valid does not add up")
    require(found["hits"] <= found["correct"] <= samples, f"{name}.valid counts more than there are")


def check_budget(original: list[int], found: Record, limit: tuple[float, int], name: str) -> None:
    """Nothing worse than the original is chosen, and the budget is kept on the selection split.

    ``original`` are its right target samples and its right samples, ``limit`` the OA budget in points and the samples.
    """
    budget, samples = limit
    hits, correct = original
    require(hits <= found["hits"], f"{name}.valid is worse than the original")
    require(found["correct"] >= correct - allowance(budget, samples), f"{name}.valid exceeds its budget")


def check_certificate(point: Record, demand: str, name: str) -> None:
    """A certificate follows from its counts and keeps the demand; without one the original stays."""
    promise = point.get("certificate")
    if promise is None:
        require(point["fell_back"] and point["shift"] == 0, f"{name} has no certificate and is not the original")
        return
    kind, _, floor = demand.rpartition(" ")
    counts, confidence = (promise["samples"], promise["confidence"]), promise["confidence"]
    try:
        if kind == "recall":
            bound, keeps = recall_bound(promise["hits"], *counts), promise["bound"] >= float(floor)
        else:
            bound, keeps = (
                loss_bound(promise["lost"], promise["gained"], *counts),
                promise["bound"] <= float(floor) / 100,
            )
    except UsageError as exc:
        raise Damaged(f"record.{name}.certificate: {exc}") from exc
    require(abs(bound - promise["bound"]) <= 1e-6, f"{name}.certificate does not follow from its counts")
    require(keeps and confidence > 0.5, f"{name}.certificate does not keep what it is for")


def require(agrees: bool, why: str) -> None:
    """`Damaged` with ``why`` unless ``agrees``."""
    if not agrees:
        raise Damaged(f"record.{why}")
