"""How long candidates take for one sample, as multiples of the original's time; it has no say in the choice."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import nn

from tunebench.grid.latency import in_turn, structure
from tunebench.own.comparison import Comparison
from tunebench.own.pick import Line

PATIENCE = 5.0
"""Seconds that making candidates again may take in all; the quickest come first."""


def latency_ratios(comparison: Comparison, lines: Sequence[Line], chosen: Line, tuned: nn.Module) -> dict[str, float]:
    """By tuner: of ``chosen``, whose network is ``tuned``, and of the others as far as `PATIENCE` reaches.

    Networks of one structure take one time, see `tunebench.grid.latency.structure`, and only the first is timed.
    """
    original, x = copy.deepcopy(comparison.task.model), comparison.task.x_valid[:1]  # of a copy, as on boards
    known = [(structure(tuned), in_turn(tuned, original, x)[1])]
    found = {chosen.tuner: known[0][1]}
    spent = 0.0
    others = [line for line in lines if line.status == "ok" and line.tuner != chosen.tuner]
    for line in sorted(others, key=lambda line: trial_seconds(comparison, line)):
        spent += trial_seconds(comparison, line)
        if spent > PATIENCE:
            break
        try:
            model = comparison.rebuild(line.tuner, line.variant)
        except Exception:  # a tuner of anyone's, outside its process: a figure beside the choice must not cost it
            continue
        mine = structure(model)
        ratio = next((ratio for other, ratio in known if other == mine), None)
        found[line.tuner] = in_turn(model, original, x)[1] if ratio is None else ratio
        known.append((mine, found[line.tuner]))
    return found


def trial_seconds(comparison: Comparison, line: Line) -> float:
    """What a trial of a tuner took on average."""
    record = comparison.records[line.tuner]
    return float(record["tune_seconds"]) / max(1, len(record["history"]))
