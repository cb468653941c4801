"""A leaderboard as one self-contained page: question and answer, table, charts, provenance."""

from __future__ import annotations

from typing import Any

import pandas

from tunebench.boards import chart_data, vega
from tunebench.boards.advice import advise
from tunebench.boards.charts import CHARTS, HEAT_MAPS
from tunebench.boards.leaderboard import Leaderboard
from tunebench.boards.page import table, words
from tunebench.boards.page.templates import rendered
from tunebench.glossary import column, entries, legend, lookup

PICKS = ("pick", "OA budget", "TA gain", "OA gain", "over budget", "second", "behind", "ahead in")
"""Headings of the table of picks."""


def render(board: Leaderboard) -> str:
    """The page as HTML; it asks for nothing from outside, and everything from files is escaped."""
    data = chart_data.tables(board)
    columns, first = table.columns_of(board.rows)
    advice = advise(board.curves)
    return rendered(
        "page.html",
        name=board.lock["suite"]["name"],
        question=words.question(board),
        answer=words.answer(advice, board),
        notes=board.notes,
        advice=[words.told(row) for row in advice],
        picks={name: lookup(name)[0].text for name in PICKS},
        budget=f"{board.budget:g}",
        columns=[table.heading(name, first) for name in columns],
        rows=[table.line(row, columns, first) for row in board.rows],
        legend=legend(columns),
        charts=[(name, CHARTS[name][0]) for name in data],
        suite=words.suite_file(board.lock["suite"]),
        origin=words.origin(board.lock),
        data=embedded(board, data),
        library=vega.script() if data else "",
    )


def embedded(board: Leaderboard, data: dict[str, pandas.DataFrame]) -> dict[str, Any]:
    """What the page's script reads: charts with their rows, and what can be chosen."""
    known = set(data["costs"]["kind"]) if "costs" in data else set()
    kinds = [column(kind) for kind in chart_data.COSTS if kind in known]
    return {
        "all": chart_data.ALL,
        "blocks": chart_data.blocks_of(board),
        "variants": {name: meaning(name) for name in chart_data.variants_of(board)},
        "kinds": {kind.name: {"heading": kind.heading, "text": kind.text} for kind in kinds},
        "heat_maps": HEAT_MAPS,
        "charts": {name: {"spec": CHARTS[name][1]().to_dict(), "data": compact(rows)} for name, rows in data.items()},
    }


def meaning(variant: str) -> str:
    """What the glossary says of a variant; nothing of one that it does not know."""
    known = entries()["variants"]
    return known[variant].text if variant in known else ""


def compact(rows: pandas.DataFrame) -> dict[str, Any]:
    """Rows as lists; a word is a number, its place in ``words``, since names repeat in every row."""
    words: dict[str, list[str]] = {}
    numbers = rows.copy()
    for name in rows.columns[[not pandas.api.types.is_numeric_dtype(kind) for kind in rows.dtypes]]:
        numbers[name], found = pandas.factorize(rows[name])
        words[name] = found.tolist()
    return {"columns": list(rows.columns), "words": words, "rows": numbers.astype(object).values.tolist()}
