"""What a record says twice has to agree: its search with its choices, its choices with their budgets; no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tunebench.results.predictions import unpack
from tunebench.results.shapes import Damaged

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
            if split is not None:
                check_budget(record["original"]["valid"], point["valid"], (float(budget), split["valid"]), name)


def check_choice(record: Record, point: Record, name: str) -> None:
    """A choice is a trial of the search; trial 0 is the unchanged original, but for a shift."""
    trial, history = point["trial"], record["history"]
    require(trial <= record["trials"], f"{name} is of a trial that there was not")
    require(point["fell_back"] == (trial == 0), f"{name}.fell_back does not follow from its trial")
    tried = history[trial - 1]["params"] if trial and history else point["params"] if trial else {}
    require(point["params"].items() <= tried.items(), f"{name}.params are not those of its trial")
    if trial == 0:
        require(point["scale"] is None, f"{name} scales the original")
        unchanged = point["shift"] != 0 or not unpack(point["predictions"]).any()
        require(unchanged, f"{name} is the original and predicts otherwise")


def check_plain(history: list[Record], point: Record, name: str) -> None:
    """A plain choice has no shift, and unless its scale was solved for the budget it scores what its trial scored."""
    require(point["shift"] == 0, f"{name} has a shift")
    if point["trial"] and history and point["scale"] is None:
        score = [point["valid"][count] for count in ("hits", "correct", "lost", "gained")]
        require(score == history[point["trial"] - 1]["score"], f"{name}.valid is not the score of its trial")


def check_budget(original: list[int], found: Record, limit: tuple[float, int], name: str) -> None:
    """Counts on the selection split follow from each other, and nothing worse than the original is chosen.

    ``original`` are its right target samples and its right samples, ``limit`` the OA budget in points and the samples.
    """
    budget, samples = limit
    hits, correct = original
    require(found["correct"] == correct - found["lost"] + found["gained"], f"{name}.valid does not add up")
    require(hits <= found["hits"] <= found["correct"] <= samples, f"{name}.valid is worse than the original")
    allowed = math.floor(budget * samples / 100 + 1e-9)
    require(found["correct"] >= correct - allowed, f"{name}.valid exceeds its budget")


def require(agrees: bool, why: str) -> None:
    """`Damaged` with ``why`` unless ``agrees``."""
    if not agrees:
        raise Damaged(f"record.{why}")
