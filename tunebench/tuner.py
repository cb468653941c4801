"""The three names that a tuner's author needs: `Tuner`, `TuningTask`, `LogitEdit`.

Nothing here imports torch: ``import tunebench`` has to stay cheap for ``--help``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from optuna.distributions import BaseDistribution
    from torch import Tensor, nn

MAX_STEPS = 2000
"""Training steps that a trial may take unless the user says otherwise."""


@dataclass(frozen=True, eq=False)
class TuningTask:
    """One trained network, the class to raise, and the data that a tuner may see.

    Nothing reachable from here leads to the test split. N, M are the numbers of training and validation samples,
    H the number of hidden units of all hidden layers, C the number of classes.
    """

    model: nn.Module
    """The trained original in eval mode; tuners return a copy and leave it as it is."""
    targets: tuple[int, ...]
    """The classes to raise; nearly always one."""
    target: int
    """The first of ``targets``."""
    classes: int
    x_train: Tensor
    """Normalised inputs, (N, *shape) float32."""
    y_train: Tensor
    """Labels, (N,) int64."""
    x_valid: Tensor
    """(M, *shape) float32."""
    y_valid: Tensor
    """(M,) int64."""
    hidden_train: Tensor
    """Activations of all hidden units, first layer first, maps averaged over their positions, (N, H) float32."""
    hidden_valid: Tensor
    """(M, H) float32."""
    logits_train: Tensor
    """The original's outputs before the softmax, (N, C) float32."""
    logits_valid: Tensor
    """(M, C) float32."""
    layer_of: Tensor
    """Site (hidden layer), counted from 0, of every hidden unit, (H,) int64."""
    seed: int
    """Derived from the cell's names; every random choice of a tuner starts from it."""
    device: torch.device
    learning_rate: float = 0.001
    """Step size that the original was trained with; fine-tuning searches multiples of it."""
    max_hidden: int = 1024
    """Most hidden units of a task, counted from the output back (see `tunebench.networks.sites`)."""
    max_steps: int = MAX_STEPS
    """Most training steps that a trial may take; see `tunebench.training.limited`."""
    protect: tuple[tuple[int, float], ...] = ()
    """Classes, and the percentage points of recall that each may lose at most."""
    synapse_layers: tuple[int, ...] | None = None
    """Hidden layers, as in ``layer_of``, whose units may get a synapse; None: all."""
    max_new_params: int | None = None
    """Most non-zero parameters that may be added; None: any number."""
    max_weight: float | None = None
    """Largest size of a new weight; None: any."""

    @property
    def may_join(self) -> Tensor:
        """Whether a hidden unit may get a synapse, (H,) bool."""
        if self.synapse_layers is None:
            return self.layer_of >= 0
        return (self.layer_of[:, None] == self.layer_of.new_tensor(self.synapse_layers)).any(1)


@dataclass(frozen=True, eq=False)
class LogitEdit:
    """A tuned network as an addition to the logits: ``logits + hidden @ weight.T + bias``.

    ``weight`` is (C, H) and ``bias`` (C,), both floating point. The host scores an edit on cached activations,
    counts its cost, folds it into a plain network and exports it.
    """

    weight: Tensor
    bias: Tensor

    @classmethod
    def of_target(cls, task: TuningTask, weight: Tensor | None = None, bias: float = 0.0) -> LogitEdit:
        """Edit the targets' logits alone, all alike: ``weight`` is (H,), zeros by default; ``bias`` in logits."""
        rows = task.hidden_train.new_zeros((task.classes, task.hidden_train.shape[1]))
        biases = task.hidden_train.new_zeros(task.classes)
        if weight is not None:
            rows[list(task.targets)] = weight
        biases[list(task.targets)] = bias
        return cls(rows, biases)

    def scaled(self, scale: float) -> LogitEdit:
        """The same direction, ``scale`` times as far."""
        return LogitEdit(self.weight * scale, self.bias * scale)


class Tuner:
    """A method that raises the accuracy of one class; subclass it, name it, write `tune`."""

    name: str = ""
    """A slug, unique among all plugins: lower case letters, digits and hyphens."""

    summary: str = ""
    """One sentence that tells the tuner from its siblings; the first line of the class docstring where it is empty."""

    scalable: bool = False
    """Whether every multiple >= 0 of the returned `LogitEdit` is a candidate too.

    The host then solves the best multiple for each OA budget exactly on validation (under ``--protocol paper`` it
    searches it as one more hyperparameter).
    """

    honours: frozenset[str] = frozenset()
    """Limits of the user's that everything it proposes keeps, by their names in `TuningTask`: ``max_steps``,
    ``protect``, ``synapse_layers``, ``max_new_params``, ``max_weight``. The host refuses what breaks one in any case,
    but cannot count steps: ``max_steps`` is for the tuner to keep.
    """

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Hyperparameters as Optuna distributions; empty means exactly one trial."""
        return {}

    def skip(self, task: TuningTask) -> str | None:
        """Why this tuner does not apply to ``task``, or None when it does."""
        return None

    def prepare(self, task: TuningTask) -> Any:
        """Whatever all trials share, computed once per task; handed to `tune` as ``prepared``."""
        return None

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Any) -> nn.Module | LogitEdit:
        """A tuned copy of ``task.model``, or a `LogitEdit` on top of it."""
        raise NotImplementedError(f"tuner {self.name!r} does not define tune()")
