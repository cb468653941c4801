"""The zero line of every comparison: the network as it was trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from tunebench import Tuner, TuningTask, hookimpl


class Original(Tuner):
    """The unchanged network; no hyperparameters."""

    name = "original"

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Any) -> nn.Module:
        """A copy of ``task.model``."""
        return copy.deepcopy(task.model)


@hookimpl
def tunebench_tuners() -> list[Tuner]:
    """The one tuner of this family."""
    return [Original()]
