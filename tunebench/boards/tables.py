"""Render a leaderboard: terminal table, Markdown, CSV, JSON, LaTeX, HTML; every name is escaped."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import tabulate

from tunebench.boards.comparison import BLOCK, Row, title
from tunebench.boards.formats import align, escape_latex, escape_markdown, formatted, settable
from tunebench.boards.leaderboard import COLUMNS, Leaderboard
from tunebench.boards.overall import INTERPOLATED, opening
from tunebench.console import loading
from tunebench.glossary import column, legend
from tunebench.naming import inert, one_line
from tunebench.results.store import write_text

if TYPE_CHECKING:
    import pandas

tabulate.MIN_PADDING = 0  # headings of the terminal table need no air of their own to fit 80 columns
SCHEMA = 1
FILES = {"csv": "leaderboard.csv", "json": "leaderboard.json", "markdown": "leaderboard.md", "html": "index.html"}
"""What a run folder holds for readers, by format."""
SHORT = ("rank", "tuner", "ta", "ta_gain", "oa_gain", "over_budget", "group")
"""Columns of the terminal table, before the gain of certified, or where there is none, of shifted."""
PROMISED = ("ta_gain_certified", "oa_gain_certified", "certified", "churn")
LATEX = ("tuner", "ta", "ta_gain", "oa_gain", "group", "ta_gain_shifted")
FITTED = r"\resizebox{\ifdim\width>\columnwidth\columnwidth\else\width\fi}{!}"
"""What shrinks a LaTeX table to the column that it stands in, if it is wider: a tuner may have any name."""
LONG = (
    "rank", "tuner", "ta", "interval", "ta_gain", "oa", "oa_gain", "over_budget", "group", "area", "ta_gain_shifted",
    "oa_gain_shifted", "rank_shifted", "precision", "dot_rv", "fell", "params", "flops", "bytes",
    "latency_ratio", "tune_seconds", "search_regret",
)  # fmt: skip


def render(board: Leaderboard, kind: str) -> str:
    """The leaderboard as ``table``, ``markdown``, ``csv``, ``json``, ``latex`` or ``html``."""
    return RENDERERS[kind](board)


def write_files(board: Leaderboard, out: Path) -> None:
    """Write leaderboard.csv, .json and .md, and the page index.html, into ``out``.

    A page whose figures are those of the last time stays: it is what takes longest.
    """
    figures, told = out / FILES["json"], as_json(board)
    same = figures.is_file() and figures.read_bytes() == told.encode() and (out / FILES["html"]).is_file()
    for kind, name in FILES.items():
        if not (same and kind == "html"):
            write_text(out / name, render(board, kind))


def load_page() -> None:
    """Import what a new board and its page need: for whoever has time now, and less of it then."""
    with loading():
        import altair
        import jinja2
        import scipy.special

        from tunebench.boards import page

    _ = altair, jinja2, scipy, page


def as_html(board: Leaderboard) -> str:
    """A page of its own, see `tunebench.boards.page`."""
    from tunebench.boards import page  # its charts take pandas, which no other format waits for

    return page.render(board)


def as_csv(board: Leaderboard) -> str:
    """One line per row; fractions, empty where there is no figure."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows([COLUMNS, *([inert(row[name]) for name in COLUMNS] for row in board.rows)])
    return text.getvalue()


def frame(board: Leaderboard) -> pandas.DataFrame:
    """The rows as a pandas table with the columns of leaderboard.csv, for notebooks."""
    import pandas

    return pandas.DataFrame(board.rows, columns=list(COLUMNS), dtype=object)


def as_json(board: Leaderboard) -> str:
    """Rows, trade-off curves, planned contrasts, all pairs and remarks."""
    content = {
        "schema": SCHEMA,
        "protocol": board.protocol,
        "budget": board.budget,
        "notes": board.notes,
        "rows": board.rows,
        "curves": board.curves,
        "contrasts": board.contrasts,
        "pairs": board.pairs,
        "across": board.across,
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def as_table(board: Leaderboard) -> str:
    """Short tables for an 80-column terminal, one per data set, model and target, then what failed and why."""
    promised = any(row.get("ta_gain_certified") is not None for row in board.rows)
    last = "ta_gain_certified" if promised else "ta_gain_shifted"
    zeros = originals(board.rows)

    def framed(name: str, table: str) -> str:
        return f"{one_line(name)}{one_line(zeros.get(name, ''))}\n\n{table}\n"

    body = sections(board, (*SHORT, last), "simple", framed, one_line)
    failed = [f"{row['tuner']}: {row['status']}: {row['reason']}" for row in board.rows if row["reason"]]
    words = (
        f"TA: recall of the target class. OA: accuracy over all. {board.rule}. More: "
        f"{FILES['html']}, tunebench explain WORD."
    )
    ending = [textwrap.fill(one_line(line), 80) for line in [*dict.fromkeys(failed), *board.notes, words]]
    return "\n".join([body, *ending]) + "\n"


def originals(rows: Sequence[Row]) -> dict[str, str]:
    """By a block's title, how good its original is, whether or not `original` is among the tuners."""
    return {
        title(*(row[name] for name in BLOCK)): f"; original: TA {column('ta').shown(row['ta'] - row['ta_gain'])} %, "
        f"OA {column('oa').shown(row['oa'] - row['oa_gain'])} %"
        for row in rows
        if row["rank"] is not None
    }


def as_markdown(board: Leaderboard) -> str:
    """Full tables with a legend."""

    def framed(name: str, table: str) -> str:
        return f"## {escape_markdown(name)}\n\n{table}\n"

    extras = (extra for extra in (INTERPOLATED, PROMISED) if any(row[extra[0]] is not None for row in board.rows))
    columns = (*LONG, *itertools.chain(*extras))
    body = sections(board, columns, "github", framed, escape_markdown)
    notes = "".join(f"\n{escape_markdown(note)}\n" for note in board.notes)
    words = "\n".join(f"- {line}" for line in explained(columns))
    head = f"# Leaderboard\n\nProtocol: {board.protocol}. {board.rule}. Trials: {board.lock['suite']['trials']} a cell."
    return f"{head}\n\n{opening(board)}{body}{notes}\n## Columns\n\n{words}\n"


def as_latex(board: Leaderboard) -> str:
    """One booktabs table per data set, model and target, with caption and label; shrunk where a column is too narrow.

    The minus of a figure is set as one; the sides of a table have no air, since booktabs has no lines there.
    """
    sides = "".join(side[0] for side in align(LATEX))

    def framed(title: str, table: str) -> str:
        label = re.sub("[^a-z0-9]+", "-", title.lower().encode("ascii", "backslashreplace").decode())
        seeds = board.lock["suite"]["seeds"]
        table = re.sub(r"(?<= )-(?=\d)", "$-$", table.replace(f"{{{sides}}}", f"{{@{{}}{sides}@{{}}}}", 1))
        return (
            f"\\begin{{table}}[t]\n\\centering\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}"
            f"\\setlength{{\\belowcaptionskip}}{{4pt}}\n"
            f"\\caption{{{escape_latex(title)}. TA: recall of the class, OA: accuracy over all; gains in percentage "
            f"points on test, means of {seeds} seed{'s' * (seeds != 1)}; shifted: TA gain "
            f"with a bias on the class's logit. {escape_latex(board.rule)}. {escape_latex(column('group').text)}}}\n"
            f"\\label{{tab:{label}}}\n{FITTED}{{%\n{table}}}\n\\end{{table}}\n"
        )

    notes = "".join(f"% {one_line(note)}\n" for note in board.notes)
    body = sections(board, LATEX, "latex_booktabs", framed, settable)
    return f"% needs \\usepackage{{booktabs,graphicx}}\n{notes}\n{body}"


def sections(
    board: Leaderboard,
    columns: Sequence[str],
    tablefmt: str,
    framed: Callable[[str, str], str],
    escape: Callable[[str], str],
) -> str:
    """One table per data set, model and target, each with its title in a frame."""
    parts = []
    for place, group in itertools.groupby(board.rows, key=lambda row: [row[name] for name in BLOCK]):
        rows = [[shown(row, name, escape) for name in columns] for row in group]
        headers = [column(name).heading for name in columns]
        table = tabulate.tabulate(rows, headers, tablefmt=tablefmt, disable_numparse=True, colalign=align(columns))
        parts.append(framed(title(*place), table))
    return "\n".join(parts)


def explained(columns: Sequence[str]) -> list[str]:
    """What every column means, a line each."""
    return [f"{heading}: {text}" for heading, text in legend(columns)]


def shown(row: Row, name: str, escape: Callable[[str], str]) -> str:
    """One value as a reader wants it: accuracies in per cent, gains in signed points."""
    if name == "interval":
        low, high = row["ta_low"], row["ta_high"]
        return "" if low is None else f"{100 * low:.2f} to {100 * high:.2f}"
    if name == "rank" and row[name] is None:
        return escape(row["status"])
    return formatted(name, row[name], escape)


RENDERERS: dict[str, Callable[[Leaderboard], str]] = {
    "table": as_table,
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
    "latex": as_latex,
    "html": as_html,
}
