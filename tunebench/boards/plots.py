"""Every chart of a leaderboard as SVG and PNG, drawn without a browser."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas

from tunebench.boards.chart_data import COSTS, split, tables
from tunebench.boards.charts import CHARTS, HEAT_MAPS, shaded
from tunebench.boards.leaderboard import Leaderboard
from tunebench.glossary import column
from tunebench.results.store import write_bytes, write_text

WIDTH, HEIGHT, STEP = 480, 320, 18
"""Of a chart, and of one tuner's line in a heat map, in pixels."""
SCALE = 1.5
"""Pixels of a PNG for one of the chart."""
LONGEST = 200
"""Characters of a file's name, but for its number and suffix."""


def write(board: Leaderboard, folder: Path) -> list[Path]:
    """Draw every chart of every block and variant into ``folder``; returns the files."""
    import vl_convert

    written = []
    for name, spec in specifications(tables(board)):
        svg = vl_convert.vegalite_to_svg(spec)
        write_text(folder / f"{name}.svg", svg)
        write_bytes(folder / f"{name}.png", vl_convert.svg_to_png(svg, scale=SCALE))
        written += [folder / f"{name}.svg", folder / f"{name}.png"]
    return written


def specifications(data: Mapping[str, pandas.DataFrame]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A name, fit for a file, and the complete Vega-Lite of every chart of every block, variant and cost.

    Names that differ in what no file's name may hold, or behind what fits into one, are numbered.
    """
    taken: set[str] = set()
    for chart, table in data.items():
        title, make = CHARTS[chart]
        spec = make().to_dict() | {
            "width": WIDTH,
            "height": {"step": STEP} if chart in HEAT_MAPS else HEIGHT,
            "background": "white",
        }
        for key, rows in split(table, ("block", "variant", "kind")).items():
            subtitle = ", ".join(column(part).text.rstrip(".") if part in COSTS else part for part in key)
            named = {"title": {"text": title, "subtitle": subtitle}, "datasets": {"rows": rows.to_dict("records")}}
            name = unlike(taken, re.sub(r"[^A-Za-z0-9+-]+", "-", "-".join([chart, *key]))[:LONGEST])
            taken.add(name)
            yield name, shaded(spec, rows) | named


def unlike(taken: Collection[str], name: str) -> str:
    """``name``, or with the first number from 2 on that makes it another than those that are taken."""
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(it for it in itertools.chain([name], numbered) if it not in taken)
