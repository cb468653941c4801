"""Five tuners in two states: as they should be, and (with PLANTED in the environment) as a bad commit leaves them.

A plugin file: `tunebench run --plugin` takes it by value, so the state is part of its source, see `source`.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path

import torch
from torch import nn

from tunebench import LogitEdit, Tuner

REGRESSED = False


class Steady(Tuner):
    """Never changes: whatever the gate says about it is a false alarm."""

    name = "steady"

    def tune(self, task, params, prepared):
        """A fixed preference for the target."""
        return LogitEdit.of_target(task, bias=2.0)


class Slow(Tuner):
    """Becomes 1.5 times as slow."""

    name = "slow"

    def tune(self, task, params, prepared):
        """As a network, since an edit would be folded."""
        model = copy.deepcopy(task.model)
        with torch.no_grad():
            model[-1].bias[task.target] += 1.0
        return Slowed(model).eval()


class Slowed(nn.Module):
    """Waits half as long again as its forward took, once the regression is planted."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        """The inner network's logits."""
        start = time.perf_counter_ns()
        out = self.inner(x)
        if REGRESSED:
            end = time.perf_counter_ns() + (time.perf_counter_ns() - start) // 2
            while time.perf_counter_ns() < end:
                pass
        return out


class Weaker(Tuner):
    """Comes to lose 3 points of TA and more."""

    name = "weaker"

    def tune(self, task, params, prepared):
        """A preference that raises TA, and once the regression is planted one that hardly does."""
        return LogitEdit.of_target(task, bias=0.2 if REGRESSED else 2.0)


class Lazy(Tuner):
    """Comes to return the original."""

    name = "lazy"

    def tune(self, task, params, prepared):
        """A preference for the target, or none."""
        return copy.deepcopy(task.model) if REGRESSED else LogitEdit.of_target(task, bias=2.0)


if not REGRESSED:

    class Gone(Steady):
        """Vanishes."""

        name = "gone"


def source(regressed: bool) -> str:
    """This file in one of its two states."""
    return Path(__file__).read_text("utf-8").replace("REGRESSED = False", f"REGRESSED = {regressed}", 1)
