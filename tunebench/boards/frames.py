"""A run as tidy pandas tables, one row per observation: for notebooks, behind `tunebench.load`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from tunebench.boards import details, leaderboard, tables
from tunebench.boards.comparison import place_of
from tunebench.results.predictions import predictions_of

PREDICTED = ("dataset", "model", "target", "tuner", "seed", "image", "label", "original", "tuned")
"""The columns of `Frames.predictions`."""


@dataclass(frozen=True)
class Frames:
    """The tables of one run; accuracies are fractions, but for ``classes``, which is in percentage points."""

    out: Path
    budget: float
    """OA budget of the suite, in percentage points."""
    demand: str
    """The budget, or the floor of TA, that rows and predictions are of, as records name it."""
    rows: pandas.DataFrame
    """As leaderboard.csv: one row per data set, network, target and tuner."""
    curves: pandas.DataFrame
    """One row per tuner, variant and OA budget."""
    contrasts: pandas.DataFrame
    """One row per planned contrast and variant: a tuner against the original or logit-bias, adjusted p values."""
    pairs: pandas.DataFrame
    """One row per two tuners and variant, exploratory: differences, intervals, adjusted p values."""
    classes: pandas.DataFrame
    """One row per tuner, variant and class: ``value`` is the change of the class's recall, mean over seeds."""
    notes: tuple[str, ...]
    """What a reader has to know before believing the figures."""

    def predictions(self, variant: str = "plain") -> pandas.DataFrame:
        """One row per tuner, seed and test image at the suite's budget: ``label``, ``original``, ``tuned``.

        Complete tuners that have the variant, none maybe. Classes are indices.
        """
        found = list(self._predictions(variant))
        return pandas.concat(found, ignore_index=True) if found else pandas.DataFrame(columns=PREDICTED)

    def _predictions(self, variant: str) -> Iterator[pandas.DataFrame]:
        for block, complete in leaderboard.complete_blocks(self.out):
            for tuner, records in complete.items():
                for record in records if variant in details.shared_variants(records, self.demand) else ():
                    labels, original, tuned = predictions_of(record, variant, self.demand)
                    named = place_of(block) | {"tuner": tuner, "seed": record["cell"]["seed"]}
                    images = {"image": np.arange(len(labels)), "label": labels, "original": original, "tuned": tuned}
                    yield pandas.DataFrame(named | images)


def load(out: Path) -> Frames:
    """The tables of the run folder ``out``; StoreError when there is no run in it."""
    board = leaderboard.build(out)
    changes = details.of_run(out, board.budget, board.demand)["classes"]
    return Frames(
        out=out,
        budget=board.budget,
        demand=board.demand,
        rows=tables.frame(board).infer_objects(),
        curves=pandas.DataFrame(board.curves),
        contrasts=pandas.DataFrame(board.contrasts),
        pairs=pandas.DataFrame(board.pairs),
        classes=pandas.DataFrame(changes),
        notes=tuple(board.notes),
    )
