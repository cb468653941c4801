"""Tables 3 and 6: what was chosen, n and scale, and what there was to choose from, the active neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunebench.paper.compare import Line, Table
from tunebench.paper.experiments import Runs
from tunebench.paper.published import dataset_names, info_of, of_dataset
from tunebench.paper.tables import SEARCHED, TITLES, line

SEARCHES = ("paper", "holdout")
"""Columns in which n and scale are searched."""


def table3(runs: Runs) -> Table:
    """The paper's n and scale beside those that our searches pick."""
    rows = []
    for dataset in dataset_names():
        info = info_of(dataset)
        for tuner, figures in of_dataset("chosen", dataset).items():
            for metric in ("n", "scale"):
                found = line(runs, (dataset, "model1", str(info["target"]), tuner), metric, figures[metric], SEARCHED)
                ours = {column: found.ours[column] for column in SEARCHES if column in found.ours}
                rows.append(Line(f"{info['title']}, {found.label}", found.kind, found.published, ours, found.cause))
    return Table("Table 3", "model 1: n and scale that were chosen", rows, notes(rows))


def table6(ranking: Mapping[str, Sequence[Any]]) -> Table:
    """Active neurons and the counts of the first four, by our rule and by the letter of the paper."""
    rows = []
    for dataset in dataset_names():
        title = info_of(dataset)["title"]
        for tuner, figures in of_dataset("chosen", dataset).items():
            found = ranking.get(f"{dataset}/{tuner}", ())
            rules = {"paper": found, "literal": [one["literal"] for one in found]}
            name = f"{title}, {TITLES[tuner]}"
            active = {rule: [float(one["active"]) for one in each] for rule, each in rules.items()}
            rows.append(Line(f"{name}, active neurons", "count", figures["active"], active))
            silent = [float(one["silent"]) for one in rules["literal"]]
            rows.append(Line(f"{name}, of these silent", "count", None, {"literal": silent}))
            for rank, count in enumerate(figures["counts"]):
                ours = {
                    rule: [float(one["counts"][rank]) for one in each if len(one["counts"]) > rank]
                    for rule, each in rules.items()
                }
                rows.append(Line(f"{name}, count of rank {rank + 1}", "count", count, ours))
    words = (
        "On the training samples of the originals that see all of train. Silent: 0 on every sample of another class "
        "that is classified right. By our rule such a neuron is no candidate."
    )
    return Table("Table 6", "model 1: active neurons, and how many samples each corrects alone", rows, (words,))


def notes(rows: Sequence[Line]) -> Sequence[str]:
    """What stands in for a published data set, where any of its figures were measured."""
    return [
        str(info["note"])
        for info in map(info_of, dataset_names())
        if "note" in info and any(row.ours and row.label.startswith(info["title"]) for row in rows)
    ]
