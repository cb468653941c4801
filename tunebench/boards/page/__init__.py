"""A leaderboard as one self-contained page: question and answer, table, charts, provenance."""

from __future__ import annotations

import pandas

from tunebench.boards import chart_data
from tunebench.boards.advice import advise
from tunebench.boards.charts import CHARTS
from tunebench.boards.leaderboard import Leaderboard
from tunebench.boards.page import script, table, words
from tunebench.boards.page.templates import rendered
from tunebench.glossary import column, entries, legend, lookup

PICKS = ("pick", "OA budget", "TA gain", "OA gain", "over budget", "second", "behind", "ahead in")
"""Headings of the table of picks."""


def render(board: Leaderboard) -> str:
    """The page as HTML; it asks for nothing from outside, and everything from files is escaped."""
    data = chart_data.tables(board)
    columns, first = table.columns_of(board.rows)
    advice = advise(board.curves)
    best = words.best_of(advice, board)
    start = words.tuner_and_variant(best["first"])[1] if best else None
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
        **script.content({name: CHARTS[name][1]() for name in data}, data, choices(board, data), start),
    )


def choices(board: Leaderboard, data: dict[str, pandas.DataFrame]) -> dict[str, script.Choice]:
    """Blocks, variants and costs, as far as the board has them."""
    known = set(data["costs"]["kind"]) if "costs" in data else set()
    kinds = [column(kind) for kind in chart_data.COSTS if kind in known]
    return {
        "block": {name: (name, "") for name in chart_data.blocks_of(board)},
        "variant": {name: (name, meaning(name)) for name in chart_data.variants_of(board)},
        "kind": {kind.name: (kind.heading, kind.text) for kind in kinds},
    }


def meaning(variant: str) -> str:
    """What the glossary says of a variant; nothing of one that it does not know."""
    known = entries()["variants"]
    return known[variant].text if variant in known else ""
