"""Every chart of a leaderboard as SVG and PNG, drawn without a browser."""

from __future__ import annotations

import re
from pathlib import Path

from tunebench.boards.chart_data import COSTS, split, tables
from tunebench.boards.charts import CHARTS, HEAT_MAPS
from tunebench.boards.leaderboard import Leaderboard
from tunebench.glossary import column
from tunebench.results.store import write_bytes, write_text

WIDTH, HEIGHT, STEP = 480, 320, 18
"""Of a chart, and of one tuner's line in a heat map, in pixels."""
SCALE = 1.5
"""Pixels of a PNG for one of the chart."""


def write(board: Leaderboard, folder: Path) -> list[Path]:
    """Draw every chart of every block and variant into ``folder``; returns the files."""
    import vl_convert

    written = []
    for name, table in tables(board).items():
        title, chart = CHARTS[name]
        spec = chart().to_dict() | {
            "width": WIDTH,
            "height": {"step": STEP} if name in HEAT_MAPS else HEIGHT,
            "background": "white",
        }
        for key, rows in split(table, ("block", "variant", "kind")).items():
            subtitle = ", ".join(column(part).text.rstrip(".") if part in COSTS else part for part in key)
            spec["title"] = {"text": title, "subtitle": subtitle}
            spec["datasets"] = {"rows": rows.to_dict("records")}
            path = folder / re.sub(r"[^A-Za-z0-9+-]+", "-", "-".join([name, *key]))
            svg = vl_convert.vegalite_to_svg(spec)
            write_text(path.with_name(path.name + ".svg"), svg)
            write_bytes(path.with_name(path.name + ".png"), vl_convert.svg_to_png(svg, scale=SCALE))
            written += [path.with_name(path.name + suffix) for suffix in (".svg", ".png")]
    return written
