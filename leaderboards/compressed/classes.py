"""Who pays for compression, and what tuners give back: `classes.md`, from the cells of a board beside this file.

Usage: python leaderboards/compressed/classes.py [RUN]. RUN is a run folder of one seed with compressed networks and
the networks that they were made of; the committed board by default. Its classes.md is written.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tunebench.boards import leaderboard, tables
from tunebench.boards.contrasts import ZERO
from tunebench.results.predictions import predictions_of

HERE = Path(__file__).parent
Z = 1.96
"""Half the width of a 95 % interval, in standard errors."""
HEAD = """# Who pays for compression

Made by `tox -e boards`. One seed: intervals are those of the test images, for these very networks, and say nothing of
how other originals would fare."""
PAID = """Shares are of the network that was compressed, changes are in points of recall or OA on test. *Weak - others*:
the change of the class less the mean change of the others. *Ten points weaker*: by how much more a class changes that
starts ten points lower; the slope over all classes, where each class starts by the images with an even number and
changes by the others, so that luck does not pass for weakness. Below zero, the weak pay more. The last row is the mean
over all compressions."""
BACK = """The class is the same everywhere; *lost* is what compression changed of its recall, and below stands what each
tuner, with the bias that all are given, changed of the compressed network's, in points on test and at the board's OA
budget: means over the networks that were compressed. OA, seconds and the count are means and the number of all
networks that the tuner works on; a dash: it works on none."""
VARIANT = "shifted"
"""Of what tuners give back."""


class Network(NamedTuple):
    """One network of the board, before tuning and after."""

    name: str
    right: np.ndarray
    """Whether it is right on each test image, (N,) bool."""
    labels: np.ndarray
    """(N,) integers."""
    target: int
    cost: dict[str, float]
    tuned: dict[str, tuple[float, float, float]]
    """TA and OA gained, in points, and seconds of tuning, by tuner."""

    @property
    def parts(self) -> tuple[str, str]:
        """The network that was compressed, and how; the latter is empty of one that was not."""
        parent, _, how = self.name.partition("+")
        return parent, how


class Contrast(NamedTuple):
    """A weighted sum of the classes' changes, in points, and half of its 95 % interval."""

    value: float
    half: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.value - self.half:+.2f}, {self.value + self.half:+.2f}]"


def networks_of(run: Path) -> dict[str, Network]:
    """All networks of a run of one data set, one class and one seed, by name."""
    found = {}
    for (_, name, target), complete in leaderboard.complete_blocks(run):
        (untuned,) = complete[ZERO]
        budget = str(untuned["options"]["budget"])
        labels, original, _ = predictions_of(untuned, "plain", budget)
        cost = untuned["points"]["plain"][budget]["cost"]
        tuned = {tuner: gained(record, budget) for tuner, (record,) in complete.items() if tuner != ZERO}
        found[name] = Network(name, original == labels, labels, int(target), cost, tuned)
    return found


def gained(record: dict[str, Any], budget: str) -> tuple[float, float, float]:
    """TA and OA gained, in points, and the seconds that it took."""
    after, before = record["points"][VARIANT][budget]["test"], record["original"]
    return 100 * (after["ta"] - before["ta"]), 100 * (after["oa"] - before["oa"]), record["tune_seconds"]


def contrast(changes: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Contrast:
    """The sum over classes of ``weights`` (C,) times the mean of ``changes`` (N,); images are drawn class by class."""
    value = variance = 0.0
    for k, weight in enumerate(weights):
        of_class = changes[labels == k]
        value += weight * of_class.mean()
        variance += weight**2 * of_class.var(ddof=1) / len(of_class)
    return Contrast(100 * value, 100 * Z * variance**0.5)


def against_others(classes: int, target: int) -> np.ndarray:
    """Weights (C,) of a class's change less the mean of the others'."""
    weights = np.full(classes, -1 / (classes - 1))
    weights[target] = 1
    return weights


def ten_points_weaker(start: np.ndarray) -> np.ndarray:
    """Weights (C,) of the least squares slope of changes over ``start`` (C,), shares, for a tenth less."""
    centred = start - start.mean()
    return -0.1 * centred / (centred**2).sum()


def changes_row(changes: np.ndarray, parent: Network) -> list[str]:
    """OA, the class, the others, the difference and the slope, of ``changes`` (N,) against ``parent``."""
    labels, classes = parent.labels, int(parent.labels.max()) + 1
    one = np.eye(classes)[parent.target]
    even = np.arange(len(labels)) % 2 == 0
    start = np.array([parent.right[even & (labels == k)].mean() for k in range(classes)])
    others = contrast(changes, labels, (1 - one) / (classes - 1))
    return [
        f"{100 * changes.mean():+.2f}",
        str(contrast(changes, labels, one)),
        f"{others.value:+.2f}",
        str(contrast(changes, labels, against_others(classes, parent.target))),
        str(contrast(changes[~even], labels[~even], ten_points_weaker(start))),
    ]


def paid(networks: dict[str, Network], parent: Network) -> str:
    """The table of what every compression of ``parent`` costs and saves."""
    rows, every = [], []
    for network in networks.values():
        of, how = network.parts
        if how and of == parent.name:
            changes = network.right.astype(float) - parent.right
            every.append(changes)
            shares = [f"{network.cost[what] / parent.cost[what]:.3f}" for what in ("bytes", "params", "flops")]
            rows.append([how, *shares, *changes_row(changes, parent)])
    rows.append(["mean", "", "", "", *changes_row(np.mean(every, axis=0), parent)])
    head = ["compression", "bytes", "non-zero", "FLOPs", "OA", "the class", "others", "weak - others"]
    return table(rows, [*head, "ten points weaker"])


def given_back(networks: dict[str, Network]) -> str:
    """The table of what every tuner gives back to every compressed network."""
    forms = list(dict.fromkeys(network.parts[1] for network in networks.values()))
    beside = [[network for network in networks.values() if network.parts[1] == form] for form in forms]
    lost = [mean([lost_of(network, networks) for network in row]) for row in beside]
    rows = [["*lost*", *lost, "", "", ""]]
    for tuner in dict.fromkeys(tuner for network in networks.values() for tuner in network.tuned):
        by_form = [mean([network.tuned[tuner][0] for network in row if tuner in network.tuned]) for row in beside]
        all_of = [network.tuned[tuner] for network in networks.values() if tuner in network.tuned]
        spent = mean([oa for _, oa, _ in all_of]), f"{np.mean([seconds for *_, seconds in all_of]):.1f}"
        rows.append([tuner, *by_form, *spent, len(all_of)])
    return table(rows, ["tuner", *(form or "as trained" for form in forms), "OA", "seconds", "networks"])


def lost_of(network: Network, networks: dict[str, Network]) -> float:
    """The change of the class's recall by compression, in points."""
    of_class = network.labels == network.target
    parent = networks[network.parts[0]]
    return 100 * float(network.right[of_class].mean() - parent.right[of_class].mean())


def mean(points: list[float]) -> str:
    """A mean of points, or a dash."""
    return f"{np.mean(points):+.2f}" if points else "-"


def table(rows: list[list[Any]], head: list[str]) -> str:
    """GitHub's Markdown, numbers to the right."""
    return tables.tabulate.tabulate(  # as `tables` has set it up, whichever of us is imported first
        rows, head, tablefmt="github", disable_numparse=True, colalign=["left", *["right"] * (len(head) - 1)]
    )


def render(run: Path) -> str:
    """All of classes.md."""
    networks = networks_of(run)
    parts = [HEAD]
    for network in networks.values():
        if not network.parts[1]:
            parts += [f"## What compressing {network.name} does", PAID, paid(networks, network)]
    return "\n\n".join([*parts, "## What tuners give back", BACK, given_back(networks)]) + "\n"


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if sys.argv[1:] else HERE
    (chosen / "classes.md").write_text(render(chosen), "utf-8")
