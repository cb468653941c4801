"""What the host makes of every tuner's result, so that all are compared with the same extras.

A variant of its own choices is a function in `MAKERS`: given a candidate and how its samples stand, it offers to the
selector what it makes of it. Two are none of them: `interpolated` looks at the best trials alone
(`tunebench.selection.interpolation`), and `certified` takes what all others offer (`tunebench.selection.path`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from tunebench.selection import tradeoff
from tunebench.selection.budgets import Demand

if TYPE_CHECKING:
    from tunebench.selection.selector import Candidate, Selector

Variant = Literal["plain", "shifted", "interpolated", "certified"]
"""In the order of the tables: each of the first three contains the one before."""
Maker = Callable[["Selector", "Candidate", tradeoff.Margins], None]


def plain(selector: Selector, candidate: Candidate, here: tradeoff.Margins) -> None:
    """The tuner's own result."""
    selector.offer("plain", candidate)


def shifted(selector: Selector, candidate: Candidate, here: tradeoff.Margins) -> None:
    """The result with the exact best bias on the target's logits for each demand; ``here`` are its margins."""
    found = offer_shifted(selector, "shifted", candidate, here)
    if candidate.trial and candidate.scale is None:
        selector.remember(candidate, found)


def offer_shifted(
    selector: Selector, variant: Variant, candidate: Candidate, here: tradeoff.Margins
) -> dict[Demand, tradeoff.Score]:
    """Offer ``candidate`` to ``variant`` as it is, and with the exact best bias for each demand; what that scores."""
    selector.offer(variant, candidate)
    found: dict[Demand, tradeoff.Score] = {}
    steps, offset = tradeoff.shift_steps(here, selector.widest)
    for interval, demands in selector.best_intervals(steps).items():
        shift = steps.scale(interval) - offset
        score = steps.score(interval)
        found |= dict.fromkeys(demands, score)
        selector.consider(variant, replace(candidate, score=score, shift=shift), demands)
    return found


MAKERS: dict[Variant, Maker] = {"plain": plain, "shifted": shifted}
"""The variants that are made of every candidate."""
CHOOSING: tuple[Variant, ...] = (*MAKERS, "interpolated")
"""The variants that choose for themselves, in the order of the tables."""
