"""Markdown tables over all blocks of a board: the one to read, means, which tuner to pick, what is beaten."""

from __future__ import annotations

from typing import Any

import tabulate

from tunebench.boards.advice import advise, label, summarise
from tunebench.boards.comparison import RANKED, Row
from tunebench.boards.contrasts import CONTROLS, SURE, tally
from tunebench.boards.formats import align, escape_markdown, formatted, points
from tunebench.boards.leaderboard import Leaderboard
from tunebench.boards.promised import kept_section, promise_section, short_section
from tunebench.glossary import column

PICK = "By the OA that can be spared: means over all blocks on test, in points."
PLANNED = (
    "Every tuner against the untuned network and against logit-bias, in TA: mean difference in points, and in how many "
    "blocks the tuner is found to be ahead and behind (Holm over all of these contrasts of a block and variant, "
    "{:.0%}). They were named before any result was seen. All other differences, and the letters in `group`, are "
    "exploratory: there are so many pairs of tuners that most true differences between two of them stay unproven."
)

INTERPOLATED = ("ta_gain_interpolated", "oa_gain_interpolated")
"""Columns that boards of the first protocol lack."""


def opening(board: Leaderboard) -> str:
    """All of them with their headings; empty where there are none."""
    sections = (
        ("What you can promise for half a point", *short_section(board)),
        ("Means over all blocks", "", summary_table(board)),
        ("Which to pick", PICK, advice_table(board)),
        ("What you can promise", *promise_section(board)),
        ("Are certificates kept?", *kept_section(board)),
        ("Planned contrasts", PLANNED.format(SURE), contrast_table(board)),
    )
    return "".join(
        f"## {title}\n\n{words}" + "\n\n" * bool(words) + f"{table}\n\n" for title, words, table in sections if table
    )


def summary_table(board: Leaderboard) -> str:
    """Means over all blocks, one line per tuner that is ranked in each of them; empty if there is none."""
    rows = summarise(board.rows)
    later = [name for name in INTERPOLATED if any(row[name] is not None for row in rows)]
    columns = ["tuner", "ta_gain", "oa_gain", "over_budget", "area", "ta_gain_shifted", "oa_gain_shifted", *later,
               "rank", "rank_shifted", "tune_seconds"]  # fmt: skip
    if not rows:
        return ""
    ranks = {"rank": "mean rank", "rank_shifted": "shifted rank"}

    def cell(name: str, value: Any) -> str:
        return f"{value:.1f}" if name in ranks and value is not None else formatted(name, value, escape_markdown)

    lines = [[cell(name, row[name]) for name in columns] for row in rows]
    headers = [ranks.get(name, column(name).heading) for name in columns]
    return str(tabulate.tabulate(lines, headers, tablefmt="github", disable_numparse=True, colalign=align(columns)))


def advice_table(board: Leaderboard) -> str:
    """Which tuner to pick at which budget; empty for fewer than two complete tuners."""
    advice = advise(board.curves)
    if not advice:
        return ""
    lines = [
        [
            f"{a['budget']:g}",
            escape_markdown(a["first"]),
            points(a["ta_gain"]),
            points(-a["oa_loss"]),
            f"{100 * a['over_budget']:.0f} %",
            escape_markdown(a["second"]),
            points(-a["behind"]),
            f"{a['ahead']} of {a['blocks']}",
        ]
        for a in advice
    ]
    headers = ["OA budget", "pick", "TA gain", "OA gain", "over budget", "second", "behind", "ahead in"]
    sides = ["right" if name in ("TA gain", "OA gain", "behind") else "left" for name in headers]
    return str(tabulate.tabulate(lines, headers, tablefmt="github", disable_numparse=True, colalign=sides))


def contrast_table(board: Leaderboard) -> str:
    """What every tuner is planned to be held against, over all blocks; empty where there is a single seed."""
    found = tally(board.contrasts)
    places = dict.fromkeys(
        (variant, control)
        for control in CONTROLS
        for variant in RANKED
        if any((variant, control) in by_place for by_place in found.values())
    )

    def cell(one: Row | None) -> str:
        return "" if one is None else f"{points(one['difference'])}: {one['ahead']} ahead, {one['behind']} behind"

    lines = [
        [escape_markdown(tuner), *(cell(by_place.get(place)) for place in places)] for tuner, by_place in found.items()
    ]
    headers = ["tuner", *(f"against {label((control, variant))}" for variant, control in places)]
    return str(tabulate.tabulate(lines, headers, tablefmt="github", disable_numparse=True)) if lines else ""
