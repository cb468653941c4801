"""Records and locks as a stranger would forge them: signed, well formed, and wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tunebench.results.cells import Cell, key_of
from tunebench.results.metrics import operating_point
from tunebench.results.predictions import pack, predictions_of, unpack
from tunebench.results.store import Store


def copied(run: Path, folder: Path) -> Store:
    """A run that may be changed."""
    shutil.copytree(run, folder)
    return Store(folder)


def cells(store: Store, tuner: str) -> list[Cell]:
    """The cells of one tuner, seeds in order."""
    return [cell for cell, _ in store.cells() if cell.tuner == tuner]


def set_at(content, path, value):
    """Set what lies at ``path`` inside a JSON value."""
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


def restored(record, labels, original, tuned=None):
    """``record`` over other labels and predictions, every metric made again; ``tuned`` None: as the original."""
    targets, classes = Cell(**record["cell"]).targets, record["classes"]
    tuned = original if tuned is None else tuned
    score = operating_point(labels, original, original, targets, classes)

    def again(point):
        found = original if point["fell_back"] and not point["shift"] else tuned
        test = operating_point(labels, found, original, targets, classes)
        return {**point, "test": test, "predictions": pack(found, original)}

    points = {
        variant: {budget: again(point) for budget, point in by_budget.items()}
        for variant, by_budget in record["points"].items()
    }
    return {
        **record,
        "labels": pack(labels, np.zeros_like(labels)),
        "predictions": pack(original, labels),
        "original": score | {"valid": record["original"]["valid"]},
        "points": points,
    }


def easier_labels(record):
    """Labels that agree with the tuned network wherever its target is concerned."""
    labels, original, tuned = predictions_of(record, "plain", "1.0")
    easy = np.where(tuned == Cell(**record["cell"]).targets[0], tuned, labels)
    return restored(record, easy, original, tuned)


def fewer_samples(record):
    """The first half of the test set alone."""
    labels, original, tuned = (part[: len(part) // 2] for part in predictions_of(record, "plain", "1.0"))
    split = {**record["provenance"]["split"], "test": len(labels)}
    return {**restored(record, labels, original, tuned), "provenance": {**record["provenance"], "split": split}}


def weaker_original(record):
    """An original that misses its target, so that every gain looks larger."""
    labels = unpack(record["labels"])
    original = unpack(record["predictions"], labels)
    target = Cell(**record["cell"]).targets[0]
    missed = np.flatnonzero((labels == target) & (original == target))[:10]
    original[missed] = (target + 1) % record["classes"]
    return restored(record, labels, original, unpack(record["points"]["plain"]["1.0"]["predictions"], original))


def weaker_on_validation(record):
    """An original that was worse on validation than it is elsewhere."""
    hits, correct = record["original"]["valid"]
    changed = {**record, "original": {**record["original"], "valid": [hits, correct - 1]}}
    for points in changed["points"].values():
        for point in points.values():
            point["valid"] = {**point["valid"], "gained": point["valid"]["gained"] + 1}
    for step in changed["history"]:
        step["score"][3] += 1
    return changed


def cheaper_original(record):
    """An unchanged original that costs less than that of the other cells."""
    for points in record["points"].values():
        for point in points.values():
            point["cost"] = {name: value - 1 for name, value in point["cost"].items()}
    return record


def another_budget(record):
    """Computed at a budget that is not the run's, with a key that follows from it."""
    inputs = {**record["inputs"], "options": {**record["inputs"]["options"], "budget": 5.0}}
    points = {v: {**p, "5.0": p["1.0"]} for v, p in record["points"].items()}
    return {**record, "inputs": inputs, "options": inputs["options"], "points": points, "key": key_of(inputs)}
