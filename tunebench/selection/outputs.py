"""What is known of the networks and edits that tuners return, each found once, whoever looks at which part of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import EllipsisType
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tunebench.errors import InvalidOutput
from tunebench.networks.activations import forward
from tunebench.networks.cost import added_params, count_params
from tunebench.networks.edits import anatomy_of, edited_logits
from tunebench.selection import tradeoff
from tunebench.selection.rays import ray_direction
from tunebench.tuner import LogitEdit, TuningTask

Output = nn.Module | LogitEdit


class Outputs:
    """Logits on validation and sizes, by output; what is known of an output goes with it."""

    def __init__(self, task: TuningTask) -> None:
        self.task = task
        self.known: WeakKeyDictionary[Output, Tensor] = WeakKeyDictionary()
        self.directions: WeakKeyDictionary[Output, Tensor] = WeakKeyDictionary()
        self.sizes: WeakKeyDictionary[Output, int] = WeakKeyDictionary()
        self.columns = task.hidden_valid.t().contiguous()  # (H, M): a few units at a time are read
        self.model_params, self.anatomy = count_params(task.model), anatomy_of(task)

    def forget(self, output: Output) -> None:
        """Find out anew about ``output``: a tuner may return one network again and again, trained further."""
        for known in (self.known, self.directions, self.sizes):
            known.pop(output, None)

    def logits(self, output: Output) -> Tensor:
        """Logits (M, C), not to be written to: an edit's from cached activations, a network's by a forward.

        InvalidOutput unless they are finite and of this shape.
        """
        if output not in self.known:
            task = self.task
            if isinstance(output, LogitEdit):
                logits = edited_logits(output, task.hidden_valid, task.logits_valid)
            else:
                logits = forward(output, task.x_valid)
            check_logits(logits, task)
            self.known[output] = logits
        return self.known[output]

    def direction(self, edit: LogitEdit) -> Tensor:
        """`rays.ray_direction` of a scalable ``edit``, (M,) or (M, C) float64."""
        if edit not in self.directions:
            self.directions[edit] = ray_direction(edit, self.task, self.columns)
        return self.directions[edit]

    def params(self, output: Output) -> int:
        """Non-zero parameters of the logical network; a shift is no new one."""
        return self.model_params + self.added(output)

    def added(self, output: Output) -> int:
        """How many of them the original lacks; negative where parameters became zero."""
        if output not in self.sizes:
            self.sizes[output] = (
                added_params(self.task.model, output, self.anatomy)
                if isinstance(output, LogitEdit)
                else count_params(output) - self.model_params
            )
        return self.sizes[output]


@dataclass(frozen=True, eq=False)
class View:
    """The outputs on some rows of validation, or on all M of them; R is their number."""

    outputs: Outputs
    rows: Tensor | EllipsisType = ...

    @cached_property
    def labels(self) -> Tensor:
        """Classes, (R,) int64."""
        return self.outputs.task.y_valid[self.rows]

    @cached_property
    def original(self) -> Tensor:
        """The original's logits, (R, C)."""
        return self.outputs.task.logits_valid[self.rows]

    def logits(self, output: Output, shift: float = 0.0) -> Tensor:
        """Logits (R, C) with ``shift`` added to the target columns; not to be written to."""
        logits = self.outputs.logits(output)[self.rows]
        if shift == 0.0:
            return logits
        out = logits.clone()
        out[:, list(self.outputs.task.targets)] += shift
        return out

    def direction(self, edit: LogitEdit) -> tradeoff.Floats:
        """`Outputs.direction` of these rows, (R,) or (R, C)."""
        found: tradeoff.Floats = self.outputs.direction(edit)[self.rows].cpu().numpy()
        return found


def check_logits(logits: Tensor, task: TuningTask) -> None:
    """InvalidOutput unless ``logits`` is a finite (M, C) tensor."""
    expected = tuple(task.logits_valid.shape)
    if tuple(logits.shape) != expected:
        raise InvalidOutput(f"the tuned network's logits have shape {tuple(logits.shape)}, expected {expected}")
    if not bool(torch.isfinite(logits).all()):
        raise InvalidOutput("the tuned network's logits are NaN or infinite")
