"""Which tuned network to take home, and why, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from tunebench.grid.evaluation import Record
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
        """How much the network changes: by its tuner, then whether a bias comes on top."""
        return ORDER.index(self.tuner) if self.tuner in ORDER else len(ORDER), int(self.variant != "plain")


@dataclass(frozen=True)
class Choice:
    """The line that was taken, and why."""

    line: Line
    why: str


def lines_of(comparison: Comparison) -> list[Line]:
    """A line per tuner, the original's first; of each the variant that keeps most, certified before any other."""
    found = []
    for tuner, record in comparison.records.items():
        if record["status"] != "ok":
            found.append(Line(tuner, record["status"], record["reason"]))
            continue
        variants: list[Variant] = ["plain"] if tuner == "original" else list(record["points"])
        candidates = [line_of(tuner, record, variant, comparison.wish) for variant in variants]
        found.append(max(candidates, key=merit))
    return found


def line_of(tuner: str, record: Record, variant: Variant, wish: Wish) -> Line:
    """One variant of a tuner at the budget."""
    point = record["points"][variant][str(wish.demand)]
    hits, total = point["valid"]["hits"], target_total(record, wish.target)
    interval = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    return Line(
        tuner, "ok", record.get("reason"), variant, point["test"]["ta"], interval.low, interval.high,
        point["test"]["oa"], point["valid"]["lost"], point["valid"]["gained"], point["params"],
        point.get("certificate"), record["points"].get("certified", {}).get(str(wish.demand), {}).get("missing"),
    )  # fmt: skip


def target_total(record: Record, target: int) -> int:
    """Samples of the target that a record's figures are of."""
    return int((unpack(record["labels"]) == target).sum())


def merit(line: Line) -> tuple[bool, float, float, int, int]:
    """A certificate first, then TA, then OA, then the smaller change."""
    return line.certificate is not None, line.ta, line.oa, -line.size[0], -line.size[1]


def pick(lines: Iterable[Line], wish: Wish) -> Choice:
    """The line to take: of those with a certificate the one with the highest TA, ties to the smaller change.

    Where nothing is certified, the best on the samples at hand, and the sentence says that it is no promise.
    """
    good = [line for line in lines if line.status == "ok"]
    original = next(line for line in good if line.tuner == "original")
    best = max(good, key=merit)
    gain = 100 * (best.ta - original.ta)
    if best.ta <= original.ta or best.tuner == "original":
        return Choice(original, "no tuner raises the class within the limits; the network stays as it is")
    if best.certificate is None:
        missing = min((line.missing for line in good if line.missing is not None), default=None)
        more = "" if missing is None else f"; about {missing:,} more samples would have been needed"
        limit = "budget" if wish.recall is None else "floor"
        return Choice(
            best,
            f"{named(best)} has the highest recall within the {limit} ({gain:+.1f} points), but nothing could be "
            f"certified: the {limit} was kept on these samples, and new data may break it{more}",
        )
    return Choice(
        best,
        f"{named(best)} has the highest recall ({gain:+.1f} points) of all with a certificate at {wish.confidence:.0%}",
    )


def named(line: Line) -> str:
    """A tuner with its variant, in words."""
    return line.tuner if line.variant in ("plain", "certified") else f"{line.tuner} with a bias on top"


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
