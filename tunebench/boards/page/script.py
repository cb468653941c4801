"""What a page's script reads: charts with their rows, and what can be chosen among them; and what draws them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas

from tunebench.boards import vega
from tunebench.boards.charts import GREY, HEAT_MAPS, PALETTE

Choice = Mapping[str, tuple[str, str]]
"""The values of a column that a reader can choose among, each with what the page calls it and what it means."""


def content(
    specifications: Mapping[str, Any],
    data: Mapping[str, pandas.DataFrame],
    choices: Mapping[str, Choice],
    start: str | None = None,
) -> dict[str, Any]:
    """What ``base.html`` takes: ``data`` for charts by name, and the library where there are any.

    ``choices`` are by column; a chart shows the rows of what is chosen in those of the columns that its rows have.
    ``start`` is the variant that a page opens with.
    """
    charts = {
        name: {"spec": specifications[name].to_dict(), "data": compact(rows)}
        for name, rows in data.items()
        if len(rows)
    }
    return {
        "data": {
            "choices": {name: list_of(known) for name, known in choices.items()},
            "start": {"variant": start},
            "charts": charts,
            "heat_maps": HEAT_MAPS,
            "palette": [*PALETTE, GREY],
        },
        "library": vega.script() if charts else "",
    }


def list_of(choice: Choice) -> list[dict[str, str]]:
    """A choice in its order: a script would sort names that look like numbers."""
    return [{"value": value, "heading": heading, "text": text} for value, (heading, text) in choice.items()]


def compact(rows: pandas.DataFrame) -> dict[str, Any]:
    """Rows as lists; a word is a number, its place in ``words``, since names repeat in every row."""
    words: dict[str, list[str]] = {}
    numbers = rows.copy()
    for name in rows.columns[[not pandas.api.types.is_numeric_dtype(kind) for kind in rows.dtypes]]:
        numbers[name], found = pandas.factorize(rows[name])
        words[name] = found.tolist()
    return {"columns": list(rows.columns), "words": words, "rows": numbers.astype(object).values.tolist()}
