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
    by_budget: dict[float, list[Row]] = defaultdict(list)
    for curve in curves:
        by_budget[curve["budget"]].append(curve)
    firsts = [leading(rows)[:1] for _, rows in sorted(by_budget.items())]
    return [line for lines in firsts for line in lines]


def leading(curves: Iterable[Row]) -> list[Row]:
    """What every complete tuner promises at the one OA budget of ``curves``, highest mean certified TA gain first.

    Figures are means over blocks; a tuner without any certificate is called ``none``, since it stays the original.
    """
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    blocks = set()
    for curve in curves:
        found[curve["tuner"]][curve["variant"]].append(curve)
        blocks.add((curve["dataset"], curve["model"], curve["target"]))
    complete = {name: v for name, v in found.items() if len(v["certified"]) == len(v["plain"]) == len(blocks)}
    lines = []
    for name, variants in complete.items():
        rows, plain = variants["certified"], variants["plain"]
        lines.append(
            {
                "budget": rows[0]["budget"],
                "tuner": name if any(row["certified"] for row in rows) else "none",
                "ta_gain": average(rows, "ta_gain"),
                "oa_gain": 0.0 - average(rows, "oa_loss"),  # no -0
                "certified": average(rows, "certified"),
                "over_budget": average(rows, "over_budget"),
                "violated": average([row for row in rows if row["violated"] is not None], "violated"),
                "plain_gain": average(plain, "ta_gain"),
            }
        )
    return sorted(lines, key=lambda line: (-line["ta_gain"], line["tuner"]))


def kept(curves: Iterable[Row], seeds: int, error: float) -> list[Row]:
    """For every OA budget what test says of all certificates: are they kept, and what do they cost?

    ``networks`` is how many could be certified (tuners x blocks x ``seeds``), ``certified`` how many were, ``over`` of
    how many OA on test fell by more than the budget, ``refuted`` of how many test shows it beyond doubt (`refuted`).
    False certificates may come for a share of ``error`` of all networks: ``p`` is the chance of so many refuted ones if
    they did, as if networks were independent. ``ta_gain`` and ``plain_gain`` are means over all networks.
    """
    from scipy.special import bdtrc

    by_budget: dict[float, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for curve in curves:
        by_budget[curve["budget"]][curve["variant"]].append(curve)
    lines = []
    for budget, variants in sorted(by_budget.items()):
        if not (rows := variants["certified"]):
            continue
        promised = [round(row["certified"] * seeds) for row in rows]
        refuted_here = [round((row["violated"] or 0.0) * n) for row, n in zip(rows, promised, strict=True)]
        networks, hits = len(rows) * seeds, sum(refuted_here)
        lines.append(
            {
                "budget": budget,
                "networks": networks,
                "certified": sum(promised),
                "over": sum(round(row["over_budget"] * seeds) for row in rows),
                "refuted": hits,
                "p": float(bdtrc(hits - 1, networks, error)) if hits else 1.0,
                "ta_gain": average(rows, "ta_gain"),
                "plain_gain": average(variants["plain"], "ta_gain"),
            }
        )
    return lines


def average(rows: Sequence[Row], name: str) -> float:
    """Mean of one figure; 0 over no rows."""
    return float(np.mean([row[name] for row in rows])) if rows else 0.0
