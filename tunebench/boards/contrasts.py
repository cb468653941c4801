"""Planned contrasts of a block: every tuner against the untuned original and against `logit-bias`; no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from tunebench.boards.statistics import Differences, contrasts_among

Row = dict[str, Any]
ZERO, BIAS = CONTROLS = ("original", "logit-bias")
"""What every tuner is held against: the zero line, and the cheapest rival."""
SURE = 0.05
"""Family-wise error at which a contrast counts as found."""


def planned_contrasts(names: Sequence[str], in_ta: Differences, in_oa: Differences) -> list[Row]:
    """Every contrast of one variant in TA and OA, each measure one family under Holm.

    The differences are those between the tuners ``names`` (T,) and, last, each seed's untuned original, which is the
    zero line whether or not `original` is among the tuners.
    """
    known = [*(name if name != ZERO else "" for name in names), ZERO]
    listed = [i for i, name in enumerate(known) if name]
    controls = [known.index(name) for name in CONTROLS if name in known]
    on_ta, on_oa = (contrasts_among(found, listed, controls) for found in (in_ta, in_oa))
    places = ({"tuner": known[t], "control": known[c]} for t, c in zip(on_ta.tuner, on_ta.control, strict=True))
    figures = {f"ta_{name}": getattr(on_ta, name).tolist() for name in ("difference", "low", "high", "p_holm")}
    figures |= {f"oa_{name}": getattr(on_oa, name).tolist() for name in ("difference", "p_holm")}
    return [
        place | dict(zip(figures, values, strict=True))
        for place, values in zip(places, zip(*figures.values(), strict=True), strict=True)
    ]


def columns_of(contrast: Row) -> Row:
    """The columns of the plain variant that a contrast fills in its tuner's row."""
    if contrast["control"] == BIAS:
        return {"ta_over_bias": contrast["ta_difference"], "ta_over_bias_p": contrast["ta_p_holm"]}
    return {"ta_gain_p": contrast["ta_p_holm"]}


def tally(contrasts: Sequence[Row]) -> dict[str, dict[tuple[str, str], Row]]:
    """By tuner, then variant and control: mean ``difference``, and the blocks in which it is ``ahead`` and ``behind``.

    Highest mean gain of TA over the original first.
    """
    found: dict[str, dict[tuple[str, str], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for contrast in contrasts:
        found[contrast["tuner"]][contrast["variant"], contrast["control"]].append(contrast)
    tallies = {tuner: {place: counted(rows) for place, rows in by_place.items()} for tuner, by_place in found.items()}
    return dict(sorted(tallies.items(), key=lambda item: (-item[1]["plain", ZERO]["difference"], item[0])))


def counted(rows: Sequence[Row]) -> Row:
    """Mean difference in TA over blocks, and in how many of them it is found to be above and below 0."""
    found = [row["ta_difference"] for row in rows if row["ta_p_holm"] <= SURE]
    return {
        "difference": float(np.mean([row["ta_difference"] for row in rows])),
        "ahead": sum(difference > 0 for difference in found),
        "behind": sum(difference < 0 for difference in found),
        "blocks": len(rows),
    }
