"""What the host makes of every tuner's result, so that all are compared with the same extras.

A variant of its own choices is a function in `MAKERS`: given a candidate and how its samples stand, it offers to the
selector what it makes of it. `certified` is none of them: it takes what all of them offer (`tunebench.selection.path`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from tunebench.selection import tradeoff

if TYPE_CHECKING:
    from tunebench.selection.selector import Candidate, Selector

Variant = Literal["plain", "shifted", "certified"]
Maker = Callable[["Selector", "Candidate", tradeoff.Margins], None]


def plain(selector: Selector, candidate: Candidate, here: tradeoff.Margins) -> None:
    """The tuner's own result."""
    selector.offer("plain", candidate)


def shifted(selector: Selector, candidate: Candidate, here: tradeoff.Margins) -> None:
    """The result with the exact best bias on the target's logits for each demand; ``here`` are its margins."""
    selector.offer("shifted", candidate)
    steps, offset = tradeoff.shift_steps(here, selector.widest)
    for interval in selector.best_intervals(steps):
        shift = steps.scale(interval) - offset
        selector.consider("shifted", replace(candidate, score=steps.score(interval), shift=shift))


MAKERS: dict[Variant, Maker] = {"plain": plain, "shifted": shifted}
"""The variants that choose for themselves, in the order of the tables."""
