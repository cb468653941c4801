"""The page's table: which columns decide, and every row's cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tunebench.boards.comparison import BLOCK, Row, title
from tunebench.boards.leaderboard import COLUMNS
from tunebench.glossary import UNITS, column, entries

PLACE = tuple(BLOCK)
GAINS = tuple(f"{gain}_{name}" for name in entries()["variants"] for gain in ("ta_gain", "oa_gain"))
"""Of these only the chosen variant's are shown, see page.css."""
DECIDING = (
    "rank", "status", "ta", "ta_gain", "oa_gain", *GAINS, "over_budget", "group", "certified", "latency_ratio",
)  # fmt: skip
"""Columns that are shown first; the rest stands behind a switch."""
FOLDED = ("ta_low", "ta_high", "reason")
"""Columns that stand below another one's value, see `line`."""
LOW_IS_BEST = ("rank", "worst_class", "dot_rv", "fell", "params", "flops", "bytes", "latency", "tune", "churn", "over")
NUMBERS = [unit for unit in UNITS if unit not in ("name", "p")]
"""Units of which more is better, but for `LOW_IS_BEST`."""


def columns_of(rows: Sequence[Row]) -> tuple[list[str], set[str]]:
    """Columns with any value, in the page's order, and those that decide.

    Where the block is the same in all rows, and where every status is ok, these columns decide nothing.
    """
    used = [name for name in COLUMNS if name not in FOLDED and any(row.get(name) is not None for row in rows)]
    constant = {name for name in (*PLACE, "status") if len({row[name] for row in rows}) < 2}
    if {row["status"] for row in rows} != {"ok"}:
        constant.discard("status")
    first = [name for name in ("tuner", *PLACE, *DECIDING) if name in used and name not in constant]
    return first + [name for name in used if name not in first], set(first)


def heading(name: str, first: set[str]) -> dict[str, str]:
    """What a heading shows, how it sorts, and what its column means."""
    entry = column(name)
    high = entry.unit in NUMBERS and not name.startswith(LOW_IS_BEST)
    return {"heading": entry.heading, "text": entry.text, "style": style(name, first) + " best-high" * high}


def style(name: str, first: set[str]) -> str:
    """Class names of a column's cells."""
    entry = column(name)
    seen = "more " if name not in first else f"of-{entry.variant} " if name in GAINS else ""
    return seen + ("name" if entry.unit == "name" else "number")


class Cell(NamedTuple):
    """A cell: what it shows, what stands small below that, and what its column is sorted by."""

    style: str
    value: Any
    text: str
    aside: str = ""
    head: bool = False


def line(row: Row, columns: Sequence[str], first: set[str]) -> dict[str, Any]:
    """A row's cells; TA with its interval below it, a status with its reason."""
    asides = {
        "ta": "" if row["ta_low"] is None else f"{column('ta').shown(row['ta_low'])} to {100 * row['ta_high']:.2f}",
        "status": row["reason"] or "",
    }
    cells = [
        Cell(
            style(name, first),
            "" if row[name] is None else row[name],
            "" if row[name] is None else column(name).shown(row[name]),
            asides.get(name, ""),
            name == "tuner",
        )
        for name in columns
    ]
    return {"block": title(*(row[name] for name in PLACE)), "tuner": row["tuner"], "cells": cells}
