"""The rows behind every chart, for pages and files alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import pandas

from tunebench.boards import details
from tunebench.boards.charts import HEAT_MAPS, OTHERS, PALETTE
from tunebench.boards.comparison import BLOCK, Row, title
from tunebench.boards.leaderboard import Leaderboard
from tunebench.glossary import entries

ALL = "all blocks, mean"
COSTS = ("latency_ratio", "params", "flops", "bytes", "tune_seconds")
"""What a gain is held against; words of the glossary."""
PLACE = ("dataset", "model", "target", "tuner", "variant")
"""What names a network, but for its seed."""
LEADERS = len(PALETTE)
"""Tuners of a block that get a colour of their own."""


def tables(board: Leaderboard) -> dict[str, pandas.DataFrame]:
    """The data of every chart: ``block`` (its title), ``variant``, ``tuner``, ``series``, figures; gains in points."""
    more = details.of_run(board.out, board.budget, board.demand)
    found = {
        "curves": with_mean(with_names(curve_rows(board), board), ["tuner", "variant", "budget"]),
        "costs": with_mean(cost_rows(board, more["sizes"]), ["tuner", "variant", "kind"]),
        **{name: with_names(pandas.DataFrame(more[name]), board) for name in ("classes", "missed", "searches")},
    }
    order = {row["tuner"]: place for place, row in reversed(list(enumerate(board.rows)))}
    leading = leaders(found["curves"])
    # What is drawn last lies on top; in a heat map nothing does.
    return {
        name: finished(table, leading, order).sort_values(
            "place" if name in HEAT_MAPS else ["shade", "place"], ascending=name in HEAT_MAPS, kind="stable"
        )
        for name, table in found.items()
        if len(table)
    }


def curve_rows(board: Leaderboard) -> pandas.DataFrame:
    """Trade-off curves, in points and per cent."""
    table = pandas.DataFrame(board.curves)
    shares = ["ta_gain", "oa_loss", "over_budget"]
    if len(table):
        table[shares] *= 100
    return table.drop(columns=["ta", "oa", "certified", "violated"], errors="ignore")


def cost_rows(board: Leaderboard, sizes: Sequence[Row]) -> pandas.DataFrame:
    """One row per ranked tuner, variant and known cost; times are of the tuner, ``sizes`` of the very network."""
    known = {tuple(size[name] for name in PLACE): size for size in sizes}
    return pandas.DataFrame(
        {name: row[name] for name in (*BLOCK, "tuner")}
        | {"variant": variant, "kind": kind, "cost": cost}
        | {"ta_gain": 100 * row["ta_gain" + suffix], "oa_gain": 100 * row["oa_gain" + suffix]}
        for row in board.rows
        if row["rank"] is not None
        for variant, suffix in variants_of(board).items()
        if row.get("ta_gain" + suffix) is not None
        for kind in COSTS
        if (cost := (row | known.get((*(row[name] for name in PLACE[:-1]), variant), {})).get(kind)) is not None
    )


def with_names(table: pandas.DataFrame, board: Leaderboard) -> pandas.DataFrame:
    """``table`` with the names of targets, and of other classes, in place of their numbers."""
    if not len(table):
        return table
    if "class" in table:
        known = board.lock.get("class_names", {})
        classes = zip(table["dataset"], table["class"], strict=True)
        table = table.assign(**{"class": [class_name(known.get(dataset, []), number) for dataset, number in classes]})
    names = {(row["dataset"], row["target"]): row["target_name"] for row in board.rows}
    called = [names.get(place, place[1]) for place in zip(table["dataset"], table["target"], strict=True)]
    return table.drop(columns="target").assign(target_name=called)


def class_name(names: Sequence[str], number: int) -> str | int:
    """What the user calls a class; a number where it is called by one, so that 2 comes before 10."""
    name = names[number] if number < len(names) else str(number)
    return int(name) if name.isdecimal() else name


def variants_of(board: Leaderboard) -> dict[str, str]:
    """The variants that a board has, in the glossary's order, with the suffix of their columns."""
    order = list(entries()["variants"])
    found = dict.fromkeys(row["variant"] for row in board.curves)
    known = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    return {name: "" if name == "plain" else f"_{name}" for name in known}


def with_mean(table: pandas.DataFrame, keys: Sequence[str]) -> pandas.DataFrame:
    """``table`` below the means over all blocks, of what is there in each of them, where there are several."""
    if not len(table) or (blocks := len(table[BLOCK].drop_duplicates())) < 2:
        return table
    groups = table.drop(columns=BLOCK).groupby(list(keys), sort=False)
    means = groups.mean()[groups.size() == blocks].reset_index()
    return pandas.concat([means, table], ignore_index=True)


def leaders(curves: pandas.DataFrame) -> pandas.DataFrame:
    """Block, variant and tuner of those with the highest mean TA gain over budgets, `LEADERS` each, and their shade."""
    keys = ["block", "variant", "tuner"]
    if not len(curves):
        return pandas.DataFrame(columns=[*keys, "shade"])
    means = curves.assign(block=titles(curves)).groupby(keys)["ta_gain"].mean().reset_index()
    best = means.sort_values(["ta_gain", "tuner"], ascending=[False, True])
    best["shade"] = best.groupby(keys[:2]).cumcount()
    return best[best["shade"] < LEADERS][[*keys, "shade"]]


def finished(table: pandas.DataFrame, leading: pandas.DataFrame, order: dict[str, int]) -> pandas.DataFrame:
    """Blocks as titles, leaders with their shade, ``place`` the order of tuners on the board; figures rounded."""
    named = table.assign(block=titles(table), place=table["tuner"].map(order))
    serves_all = "variant" not in named  # a search serves all variants
    marked = named.assign(variant="plain") if serves_all else named
    marked = marked.merge(leading, on=["block", "variant", "tuner"], how="left")
    marked["shade"] = marked["shade"].fillna(LEADERS).astype(int)
    marked["series"] = marked["tuner"].where(marked["shade"] < LEADERS, OTHERS)
    return marked.drop(columns=[*BLOCK, *["variant"] * serves_all], errors="ignore").round(3)


def titles(table: pandas.DataFrame) -> list[str]:
    """The title of every row's block."""
    if BLOCK[0] not in table:
        return [ALL] * len(table)
    rows = table[BLOCK].itertuples(index=False)
    return [ALL if pandas.isna(dataset) else title(dataset, model, target) for dataset, model, target in rows]


def blocks_of(board: Leaderboard) -> list[str]:
    """Titles of all blocks, the mean of all first where there are several."""
    found = list(dict.fromkeys(title(*(row[name] for name in BLOCK)) for row in board.rows))
    return [ALL, *found] if len(found) > 1 else found


def split(table: pandas.DataFrame, by: Iterable[str]) -> dict[tuple[str, ...], pandas.DataFrame]:
    """Parts of a table with equal values of ``by``, in order of appearance."""
    groups: dict[tuple[str, ...], pandas.DataFrame] = defaultdict()
    for key, part in table.groupby([name for name in by if name in table], sort=False):
        groups[tuple(map(str, key))] = part
    return groups
