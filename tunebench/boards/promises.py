"""Certificates on a board: how often there is one, whether test contradicts it, who promises most; no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from tunebench.boards.comparison import Row
from tunebench.results.predictions import predictions_of, unpack
from tunebench.selection.certificate import exceeds

DOUBT = 0.95
"""Confidence with which a test split has to contradict a certificate: it is a sample too."""


def certified_figures(records: Sequence[Row], demand: str) -> Row:
    """``certified``, the share of records with a certificate, and ``violated``, the share of those that test refutes.

    Empty where there is no certified variant; no ``violated`` where nothing is certified, or for a floor of TA.
    """
    if any("certified" not in record["points"] for record in records):
        return {}
    promised = [record for record in records if record["points"]["certified"][demand].get("certificate")]
    figures: Row = {"certified": len(promised) / len(records)}
    if promised and not demand.startswith("recall"):
        figures["violated"] = float(np.mean([refuted(record, demand) for record in promised]))
    return figures


def refuted(record: Row, budget: str) -> bool:
    """Whether the paired loss on test shows that the truth exceeds the budget (`DOUBT`)."""
    labels, original, tuned = predictions_of(record, "certified", budget)
    before, after = original == labels, tuned == labels
    lost, gained = int(np.count_nonzero(before & ~after)), int(np.count_nonzero(after & ~before))
    return exceeds(lost, gained, len(labels), float(budget) / 100, DOUBT)


def shortage(records: Iterable[Row], demand: str) -> list[str]:
    """A remark on cells without a certificate, and how many more validation samples half of them would have taken."""
    points = [r["points"]["certified"][demand] for r in records if r["status"] == "ok" and "certified" in r["points"]]
    without = [point for point in points if not point.get("certificate")]
    missing = sorted(point["missing"] for point in without if point.get("missing") is not None)
    if not without:
        return []
    note = f"no certificate in {len(without)} of {len(points)} cells"
    if missing:
        middle = missing[len(missing) // 2]
        note += f"; of the {len(missing)} that samples can help, half need {middle:,} more on validation"
    return [note]


def churn(records: Sequence[Row], demand: str) -> float:
    """Share of test samples whose prediction the plain choice changes, mean over records."""
    packed = [
        record["points"]["plain"][demand]["predictions"] for record in records
    ]  # as differences to the original's
    return float(np.mean([np.mean(unpack(text) != 0) for text in packed]))


def promises(curves: Iterable[Row]) -> list[Row]:
    """For every OA budget the tuner with the highest mean certified TA gain over all blocks.

    ``curves`` are the rows of `Leaderboard.curves`; only tuners that are complete in every block take part. Empty
    for a board without certificates. ``plain_gain`` is the same tuner's TA gain without one.
    """
    found: dict[float, dict[str, dict[str, list[Row]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    blocks = set()
    for curve in curves:
        found[curve["budget"]][curve["tuner"]][curve["variant"]].append(curve)
        blocks.add((curve["dataset"], curve["model"], curve["target"]))
    lines = []
    for budget, tuners in sorted(found.items()):
        complete = {name: v["certified"] for name, v in tuners.items() if len(v["certified"]) == len(blocks)}
        if not complete:
            continue
        best = min(complete, key=lambda name: (-average(complete[name], "ta_gain"), name))
        rows = complete[best]
        lines.append(
            {
                "budget": budget,
                "tuner": best if any(row["certified"] for row in rows) else "none",
                "ta_gain": average(rows, "ta_gain"),
                "oa_gain": 0.0 - average(rows, "oa_loss"),  # no -0
                "certified": average(rows, "certified"),
                "over_budget": average(rows, "over_budget"),
                "violated": average([row for row in rows if row["violated"] is not None], "violated"),
                "plain_gain": average(tuners[best]["plain"], "ta_gain"),
            }
        )
    return lines


def average(rows: Sequence[Row], name: str) -> float:
    """Mean of one figure; 0 over no rows."""
    return float(np.mean([row[name] for row in rows])) if rows else 0.0
