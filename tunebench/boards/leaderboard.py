"""From cell files to leaderboard rows: means over seeds, intervals, ranks, tie groups; no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunebench.boards.comparison import Block, Row, compare, place_of, target_name
from tunebench.boards.promises import certified_figures, churn, shortage
from tunebench.boards.statistics import area, rank_test
from tunebench.naming import one_line
from tunebench.results.cells import STATUSES, Cell
from tunebench.results.reading import UNVERIFIED, opened, planned_blocks, read_records
from tunebench.selection.budgets import BUDGETS, broken, named
from tunebench.selection.constraints import stated

COLUMNS = (
    "dataset", "model", "target", "tuner", "status", "seeds", "seeds_planned", "ta", "ta_low", "ta_high", "ta_gain",
    "oa", "oa_gain", "dot_rv", "precision", "params", "flops", "latency_us", "latency_ratio", "tune_seconds", "rank",
    "group", "ta_gain_low", "ta_gain_high", "f1", "oa_macro", "worst_class", "worst_recall", "fell", "over_budget",
    "fell_back", "area", "ta_shifted", "ta_gain_shifted", "oa_gain_shifted", "over_budget_shifted", "area_shifted",
    "rank_shifted", "group_shifted", "search_regret", "params_paper", "params_stored", "flops_stored",
    "latency_batch_us", "latency_batch_ratio", "reason", "target_name", "ta_gain_certified", "oa_gain_certified",
    "over_budget_certified", "certified", "violated", "churn", "ta_gain_p", "ta_over_bias", "ta_over_bias_p",
    "ta_gain_p_shifted", "ta_over_bias_shifted", "ta_over_bias_p_shifted", "ta_gain_interpolated",
    "oa_gain_interpolated", "over_budget_interpolated", "bytes",
)  # fmt: skip
"""Columns of leaderboard.csv, in order. Times end in ``_seconds`` or contain ``latency``; nothing else varies."""
WORTH_TELLING = 10
"""Seconds of training below which nobody asks for them."""


@dataclass
class Leaderboard:
    """Rows in display order, the curves behind them, planned contrasts, all pairs, and remarks for the reader."""

    protocol: str
    budget: float
    rows: list[Row]
    curves: list[Row]
    contrasts: list[Row]
    """Every tuner against the original and against `logit-bias`, see `tunebench.boards.contrasts`."""
    pairs: list[Row]
    """Every two tuners: exploratory."""
    across: Row
    """Friedman's test over all blocks, see `tunebench.boards.statistics.rank_test`."""
    notes: list[str]
    out: Path
    """The run folder."""
    lock: Row
    """The resolved suite."""

    @property
    def demand(self) -> str:
        """What the rows are about, as records name it: a budget of OA or a floor of TA."""
        return named(self.lock["suite"])

    @property
    def rule(self) -> str:
        """The same in words."""
        recall = self.lock["suite"].get("recall")
        return f"OA budget: {self.budget:g} points" if recall is None else f"Floor of TA: {100 * recall:g} %"


def build(out: Path) -> Leaderboard:
    """The leaderboard of a run folder; StoreError when there is no run in it."""
    store, lock = opened(out)
    suite = lock["suite"]
    notes: list[str] = []
    records, times = read_records(store, lock["inputs"], notes)
    demand = named(suite)
    rows, curves = [], []
    tests: tuple[list[Row], list[Row]] = ([], [])
    for block in planned_blocks(lock):
        by_tuner = tuners_of(block, lock, records)
        mine = [row_of(block, tuner, found, suite["seeds"], demand, times) for tuner, found in by_tuner.items()]
        for row in mine:
            row["target_name"] = target_name(lock, block)
        complete = {tuner: found for tuner, found in by_tuner.items() if all_ok(found, suite["seeds"])}
        for found, more in zip(tests, compare(block, mine, complete, demand), strict=True):
            found += more
        curves += [curve for tuner, found in complete.items() for curve in curves_of(block, tuner, found)]
        rows += sorted(mine, key=lambda row: (row["rank"] is None, row["rank"] or 0, row["tuner"]))
    notes += [*shortage(records.values(), demand), *trainings(records.values())]
    notes = [one_line(note) for note in [*notes, *remarks(rows, suite)]]
    return Leaderboard(
        protocol=suite["protocol"],
        budget=suite["budget"],
        rows=rows,
        curves=curves,
        contrasts=tests[0],
        pairs=tests[1],
        across=ranked_across(rows),
        notes=notes,
        out=out,
        lock=lock,
    )


def complete_blocks(out: Path) -> Iterator[tuple[Block, dict[str, list[Row]]]]:
    """The records of a run, by block and tuner, seeds in order; only tuners whose cells are all there and ok."""
    store, lock = opened(out)
    records, _ = read_records(store, lock["inputs"], [])
    for block in planned_blocks(lock):
        by_tuner = tuners_of(block, lock, records)
        yield block, {tuner: found for tuner, found in by_tuner.items() if all_ok(found, lock["suite"]["seeds"])}


def tuners_of(block: Block, lock: Row, records: dict[Cell, Row]) -> dict[str, list[Row]]:
    """The records of one block by tuner, seeds in order."""
    seeds = range(lock["suite"]["seeds"])
    return {
        tuner: [records[cell] for seed in seeds if (cell := Cell(*block, tuner, seed)) in records]
        for tuner in lock["tuners"]
    }


def all_ok(records: Sequence[Row], planned: int) -> bool:
    """Whether every planned seed is there and ok: only such rows are ranked."""
    return len(records) == planned and all(record["status"] == "ok" for record in records)


def ranked_across(rows: Sequence[Row]) -> Row:
    """Friedman's test of TA over the blocks in which every tuner is ranked; without a p, why there is none."""
    blocks: dict[Any, dict[str, float]] = defaultdict(dict)
    for row in rows:
        blocks[row["dataset"], row["model"], row["target"]][row["tuner"]] = row["ta"] if row["rank"] else np.nan
    tuners = sorted({row["tuner"] for row in rows})
    scores = [[found.get(tuner, np.nan) for tuner in tuners] for found in blocks.values()]
    usable = [line for line in scores if not np.isnan(line).any()]
    test = rank_test(np.array(usable).reshape(len(usable), len(tuners)))
    ranks = dict(zip(tuners, test.mean_ranks, strict=False))
    return {"blocks": len(usable), "p": test.p, "reason": test.reason, "mean_ranks": ranks}


def full(row: Row) -> bool:
    """Whether every planned seed is there."""
    return bool(row["seeds"] == row["seeds_planned"])


def row_of(block: Block, tuner: str, records: Sequence[Row], planned: int, demand: str, times: dict[Cell, Row]) -> Row:
    """Means over the ok cells of one tuner; no figures unless at least one is ok."""
    row: Row = dict.fromkeys(COLUMNS)
    row |= place_of(block)
    good = [record for record in records if record["status"] == "ok"]
    worst = max((record["status"] for record in records), key=STATUSES.index, default=None)
    reasons = [record["reason"] for record in records if record["status"] == worst and record.get("reason")]
    row |= {
        "tuner": tuner,
        "status": worst or "missing",
        "seeds": len(good),
        "seeds_planned": planned,
        "reason": last_line(reasons[0]) if reasons else None,
    }
    if not good:
        return row
    originals = [record["original"] for record in good]
    for variant in variants_of(good):
        suffix = suffix_of(variant)
        points = [record["points"][variant][demand] for record in good]
        tests = [point["test"] for point in points]
        lost, recalls = losses(tests, originals), [test["ta"] for test in tests]
        figures = {
            "ta": mean(recalls),
            "ta_gain": mean(gains(tests, originals, "ta")),
            "oa_gain": mean(gains(tests, originals, "oa")),
            "over_budget": mean(broken(loss, recall, demand) for loss, recall in zip(lost, recalls, strict=True)),
            "area": area_of(good, variant),
        }
        row |= {name + suffix: value for name, value in figures.items() if name + suffix in COLUMNS}
        if variant == "plain":
            for name in ("oa", "dot_rv", "precision", "f1", "oa_macro", "worst_recall", "fell"):
                row[name] = mean(test[name] for test in tests)
            row["worst_class"] = "/".join(str(c) for c in sorted({test["worst_class"] for test in tests}))
            row["fell_back"] = mean(point["fell_back"] for point in points)
            for name in ("params", "flops", "params_paper", "params_stored", "flops_stored"):
                row[name] = mean(point["cost"][name] for point in points)
            sizes = [point["cost"].get("bytes") for point in points]  # older records have none
            row["bytes"] = None if None in sizes else mean(sizes)
    row |= certified_figures(good, demand) | {"churn": churn(good, demand)}
    regrets = [record["regret"] for record in good if record["regret"] is not None]
    row["search_regret"] = mean(regrets) if regrets else None
    row["tune_seconds"] = mean(record["tune_seconds"] for record in good)
    measured = [times[cell] for record in good if (cell := Cell(**record["cell"])) in times]
    for name in ("latency_us", "latency_ratio", "latency_batch_us", "latency_batch_ratio"):
        row[name] = float(np.median([m[name] for m in measured])) if measured else None
    return row


def variants_of(records: Sequence[Row]) -> list[str]:
    """The variants that all records have, in their order."""
    return [variant for variant in records[0]["points"] if all(variant in record["points"] for record in records)]


def suffix_of(variant: str) -> str:
    """What the columns of a variant end in."""
    return "" if variant == "plain" else f"_{variant}"


def last_line(text: str) -> str:
    """The end of a traceback, short."""
    lines = text.strip().splitlines()
    return lines[-1].strip()[:300] if lines else ""


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean as a plain float."""
    return float(np.mean(list(values)))


def gains(tests: Sequence[Row], originals: Sequence[Row], name: str) -> list[float]:
    """Change of one metric against the same seed's original."""
    return [test[name] - original[name] for test, original in zip(tests, originals, strict=True)]


def losses(tests: Sequence[Row], originals: Sequence[Row]) -> list[float]:
    """Realised loss of OA on test, per seed, as a fraction."""
    return [-gain for gain in gains(tests, originals, "oa")]


def area_of(records: Sequence[Row], variant: str) -> float:
    """Area under mean test TA gain over the OA budgets 0 to 1 points, a fraction (docs/methods.md, section 5)."""
    originals = [record["original"] for record in records]
    heights = [
        mean(gains([record["points"][variant][str(b)]["test"] for record in records], originals, "ta")) for b in BUDGETS
    ]
    return area(BUDGETS, heights)


def curves_of(block: Block, tuner: str, records: Sequence[Row]) -> list[Row]:
    """The trade-off curve of one tuner: per variant and OA budget, mean test gains and realised losses."""
    originals = [record["original"] for record in records]
    curve = []
    for variant in variants_of(records):
        for budget in BUDGETS:
            tests = [record["points"][variant][str(budget)]["test"] for record in records]
            lost = losses(tests, originals)
            exceeded = [broken(loss, test["ta"], str(budget)) for loss, test in zip(lost, tests, strict=True)]
            point = {
                "tuner": tuner,
                "variant": variant,
                "budget": budget,
                "ta": mean(test["ta"] for test in tests),
                "ta_gain": mean(gains(tests, originals, "ta")),
                "oa": mean(test["oa"] for test in tests),
                "oa_loss": mean(lost),
                "over_budget": mean(exceeded),
            }
            if variant == "certified":
                point |= {"violated": None} | certified_figures(records, str(budget))
            curve.append(place_of(block) | point)
    return curve


def remarks(rows: Sequence[Row], suite: Row) -> list[str]:
    """What a reader has to know before believing the table."""
    notes = remarks_on_suite(suite)
    by_status: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if not full(row) or row["status"] != "ok":
            by_status[row["status"]].append(f"{row['tuner']} ({row['seeds']} of {row['seeds_planned']} seeds)")
    for status, names in by_status.items():
        notes.append(f"not ranked, {status}: {', '.join(sorted(set(names)))}")
    return notes


def trainings(records: Iterable[Row]) -> list[str]:
    """How long the originals of a run took to train, where that is worth knowing."""
    took: dict[str, dict[tuple[str, int], float]] = defaultdict(dict)
    for record in records:
        if training := record["provenance"].get("training"):
            cell = record["cell"]
            took[cell["model"]][cell["dataset"], cell["seed"]] = training["cpu_seconds"]
    means = {model: mean(seconds.values()) for model, seconds in took.items()}
    said = [f"{model} {seconds:,.0f}" for model, seconds in means.items() if seconds >= WORTH_TELLING]
    return [f"training of an original, in seconds of one core: {', '.join(said)}"] if said else []


def remarks_on_suite(suite: Row) -> list[str]:
    """What the rules of a run mean for its figures."""
    notes = []
    if suite["protocol"] == "paper":
        notes.append("protocol: paper (selected on test): every figure is optimistic and none is held out")
    if suite["protocol"] == "own":
        notes.append("one network of its owner's: figures are of the samples that it was selected on, see certified")
    if suite["seeds"] == 1:
        notes.append("one seed: no intervals and no tie groups, because nothing tells luck from merit")
    if suite["seeds"] == 2:
        notes.append("two seeds: little tells luck from merit; intervals are wide, and a lead of points can be chance")
    if limits := stated(suite):
        notes.append(f"limits of every choice: {limits}")
    return [*notes, UNVERIFIED]
