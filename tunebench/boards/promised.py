"""Markdown tables of certificates over all blocks of a board: what can be promised, and whether test agrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tabulate

from tunebench.boards.formats import escape_markdown, percent, points
from tunebench.boards.leaderboard import Leaderboard
from tunebench.boards.promises import DOUBT, kept, leading, promises
from tunebench.glossary import column

SPARE = 0.5
"""OA budget of the short table, points: what some 10,000 validation samples can certify."""
BEST = 5
"""Tuners of the short table."""
SHORT = (
    "OA falls by at most {:g} points, with {}% confidence for each network: TA gained under that promise, and, in "
    "the last column, without one. Means over all blocks on test, in points."
)
PROMISE = (
    "OA falls by at most the budget, with {}% confidence for each network: the tuner with the highest mean TA gain "
    "of what is certified, the original where nothing is. Means over all blocks, on test; `over budget` counts "
    "networks whose OA on test fell by more, `refuted` those with a certificate of which test shows it beyond doubt. "
    "The last column is the same tuner's plain TA gain, of which nothing is promised."
)
KEPT = (
    "All certificates of the board against the test split, which is a sample too: of some networks OA on test falls by "
    "more than the budget although the truth does not, and `refuted` counts those of which test shows it with {}% "
    "confidence of its own. At most {}% of all networks may have a false certificate: `p` is the chance of so many "
    "refuted ones if so many had, as if networks were independent of each other. Gains are means over all networks, "
    "those without a certificate included, which keep the original."
)


def confidence_of(board: Leaderboard) -> float:
    """Confidence of a board's certificates."""
    return float(board.lock["suite"].get("confidence", 0.9))


def short_section(board: Leaderboard) -> tuple[str, str]:
    """The `BEST` tuners at `SPARE`; an empty table for a board without certificates."""
    lines = [line for line in leading(c for c in board.curves if c["budget"] == SPARE) if line["tuner"] != "none"]
    rows = [
        [
            escape_markdown(line["tuner"]),
            points(line["ta_gain"]),
            points(line["oa_gain"]),
            *(column(name).shown(line[name]) for name in ("certified", "violated")),
            points(line["plain_gain"]),
        ]
        for line in lines[:BEST]
    ]
    headers = ["tuner", "certified TA gain", "OA gain", "certified in", "refuted", "TA gain"]
    return SHORT.format(SPARE, percent(confidence_of(board))), table(rows, headers)


def promise_section(board: Leaderboard) -> tuple[str, str]:
    """What can be promised at which budget; an empty table for a board without certificates."""
    rows = [
        [
            f"{line['budget']:g}",
            escape_markdown(line["tuner"]),
            points(line["ta_gain"]),
            points(line["oa_gain"]),
            *(column(name).shown(line[name]) for name in ("certified", "over_budget", "violated")),
            points(line["plain_gain"]),
        ]
        for line in promises(board.curves)
    ]
    headers = ["OA budget", "tuner", "certified TA gain", "OA gain", "certified in", "over budget", "refuted"]
    return PROMISE.format(percent(confidence_of(board))), table(rows, [*headers, "TA gain"])


def kept_section(board: Leaderboard) -> tuple[str, str]:
    """What test says of all certificates; an empty table for a board without any."""
    error = 1 - confidence_of(board)
    rows = [
        [
            f"{line['budget']:g}",
            *(f"{line[name]:,}" for name in ("networks", "certified", "over", "refuted")),
            column("ta_gain_p").shown(line["p"]),
            *(points(line[name]) for name in ("ta_gain", "plain_gain")),
            f"{100 * line['ta_gain'] / line['plain_gain']:.0f} %" if line["plain_gain"] > 0 else "",
        ]
        for line in kept(board.curves, board.lock["suite"]["seeds"], error)
    ]
    headers = ["OA budget", "networks", "certified", "over budget", "refuted", "p", "certified TA gain", "TA gain"]
    return KEPT.format(percent(DOUBT), percent(error)), table(rows, [*headers, "share"])


def table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    """A Markdown table, gains to the right; empty without rows."""
    if not rows:
        return ""
    sides = ["right" if "gain" in name else "left" for name in headers]
    return str(tabulate.tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=sides))
