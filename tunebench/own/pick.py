"""Which tuned network to take home, and why, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from scipy.stats import binomtest

from tunebench.boards.formats import percent
from tunebench.errors import DataError
from tunebench.grid.scoring import Record
from tunebench.own.comparison import FROZEN, TRAINING, Comparison, Wish
from tunebench.results.predictions import unpack
from tunebench.selection.variants import Variant

ORDER = ("original", *FROZEN, *TRAINING)
"""From the smallest change of a network to the largest."""


@dataclass(frozen=True)
class Line:
    """One tuner's best on the samples that it was chosen on; TA and OA as fractions."""

    tuner: str
    status: str
    reason: str | None = None
    variant: Variant = "plain"
    ta: float = float("nan")
    ta_low: float = float("nan")
    ta_high: float = float("nan")
    oa: float = float("nan")
    lost: int = 0
    gained: int = 0
    params: dict[str, Any] | None = None
    certificate: dict[str, Any] | None = None
    """confidence, bound, samples, lost, gained, hits: OA falls by at most the fraction ``bound``, or under a floor TA
    is at least that; None where nothing is certified.
    """
    missing: int | None = None
    """Without a certificate, how many more samples it would probably have taken."""

    @property
    def size(self) -> tuple[int, int]:
        """How much the network changes: by its tuner, then by what the host adds to the tuner's result."""
        extras: tuple[Variant, ...] = get_args(Variant)
        return ORDER.index(self.tuner) if self.tuner in ORDER else len(ORDER), extras.index(self.variant)


@dataclass(frozen=True)
class Choice:
    """The line that was taken, and why."""

    line: Line
    why: str


def lines_of(comparison: Comparison) -> list[Line]:
    """A line per tuner, the original's first; of each the variant with most `merit`. DataError without an original."""
    wish, original = comparison.wish, comparison.records["original"]
    if original["status"] != "ok":
        raise DataError(f"the network itself could not be measured ({original['status']}): {original['reason']}")
    found = [line_of("original", original, "plain", wish)]
    for tuner, record in comparison.records.items():
        if record["status"] != "ok":
            found.append(Line(tuner, record["status"], record["reason"]))
        elif tuner != "original":
            variants: list[Variant] = list(record["points"])
            candidates = [line_of(tuner, record, variant, wish) for variant in variants]
            found.append(max(candidates, key=lambda line: merit(line, found[0], wish)))
    return found


def line_of(tuner: str, record: Record, variant: Variant, wish: Wish) -> Line:
    """One variant of a tuner at the budget."""
    point = record["points"][variant][str(wish.demand)]
    judged = record["points"].get("certified", {}).get(str(wish.demand), {})  # none of so few samples
    hits, total = point["valid"]["hits"], target_total(record, wish.target)
    interval = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    return Line(
        tuner, "ok", record.get("reason"), variant, point["test"]["ta"], interval.low, interval.high,
        point["test"]["oa"], point["valid"]["lost"], point["valid"]["gained"], point["params"],
        promised(point.get("certificate"), wish), judged.get("missing"),
    )  # fmt: skip


def promised(certificate: dict[str, Any] | None, wish: Wish) -> dict[str, Any] | None:
    """A certificate whose bound is what was asked for.

    The walk along the path certifies that, at its confidence. The bound that the last point's own counts give is no
    promise, because they decided which point is the last; it stays as ``estimate``.
    """
    if certificate is None:
        return None
    asked = wish.budget / 100 if wish.recall is None else wish.recall
    return certificate | {"bound": asked, "estimate": certificate["bound"]}


def target_total(record: Record, target: int) -> int:
    """Samples of the target that a record's figures are of."""
    return int((unpack(record["labels"]) == target).sum())


def better(line: Line, original: Line, wish: Wish) -> bool:
    """Whether a line is worth a change: a higher TA, or under a floor one that keeps it at a higher OA."""
    if wish.recall is None:
        return line.ta > original.ta
    return line.ta >= wish.recall and (original.ta < wish.recall or line.oa > original.oa)


def merit(line: Line, original: Line, wish: Wish) -> tuple[bool, bool, float, float, tuple[int, int]]:
    """A certificate of something better first, then anything better; TA, then OA, under a floor OA, then TA; then
    the smaller change.
    """
    good = better(line, original, wish)
    first, second = (line.ta, line.oa) if wish.recall is None else (line.oa, line.ta)
    return good and line.certificate is not None, good, first, second, (-line.size[0], -line.size[1])


def pick(lines: Iterable[Line], wish: Wish) -> Choice:
    """The line to take: the one with most `merit`.

    Where nothing is certified, the best on the samples at hand, and the sentence says that it is no promise.
    """
    good = [line for line in lines if line.status == "ok"]
    original = next(line for line in good if line.tuner == "original")
    best = max(good, key=lambda line: merit(line, original, wish))
    if not better(best, original, wish):
        return Choice(original, "no tuner does better within the limits; the network stays as it is")
    gain = f"{100 * (best.ta - original.ta):+.1f} points"
    if wish.recall is None:
        limit, kind, what = "budget", "samples", f"has the highest recall ({gain})"
    else:
        limit, kind = "floor", "samples of the class"
        what = f"keeps the floor at the highest accuracy of all ({100 * (best.oa - original.oa):+.2f} points)"
    if best.certificate is not None:
        return Choice(best, f"{named(best)} {what} of all with a certificate at {percent(wish.confidence)} %")
    more = ""
    if best.missing is not None:
        more = f"; for its mildest change about {best.missing:,} more {kind}, drawn anew, would have been needed"
    return Choice(
        best,
        f"{named(best)} {what} on these samples, but nothing could be certified: the {limit} was kept on them, and new "
        f"data may break it{more}",
    )


def named(line: Line) -> str:
    """A tuner with its variant, in words."""
    return line.tuner + {"shifted": " with a bias on top", "interpolated": " interpolated"}.get(line.variant, "")


def hardest(comparison: Comparison, most: int = 5) -> list[dict[str, Any]]:
    """Samples of the target that the original is most certainly wrong about: a mislabelled one is often among them.

    Each with its row, its path where it is a file, what it is taken for, and by how many logits.
    """
    task, names = comparison.task, comparison.names
    logits = task.logits_valid
    margin, taken = logits.max(1)
    margin = margin - logits[:, task.target]
    margin[(task.y_valid != task.target) | (taken == task.target)] = 0
    rows = [int(row) for row in margin.argsort(descending=True, stable=True)[:most] if margin[row] > 0]
    return [
        {
            "row": row,
            "path": comparison.paths[row] if comparison.paths else None,
            "taken_for": names[int(taken[row])],
            "margin": float(margin[row]),
        }
        for row in rows
    ]


def confusions(record: Record, target: int, names: tuple[str, ...], most: int = 3) -> list[dict[str, Any]]:
    """What the original takes samples of the target for, the commonest first: class, count, share of the target's."""
    labels = unpack(record["labels"])
    predicted = unpack(record["predictions"], labels)[labels == target]
    counts = np.bincount(predicted[predicted != target], minlength=len(names))
    order = [int(c) for c in np.argsort(-counts, kind="stable")[:most] if counts[c]]
    return [{"class": names[c], "count": int(counts[c]), "share": float(counts[c] / len(predicted))} for c in order]
