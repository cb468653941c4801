"""Just train twice: what a first training got wrong is seen more often in a second (Liu et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from optuna.distributions import BaseDistribution, IntDistribution
from torch import Tensor

from tunebench import TuningTask
from tunebench_finetune.fine_tuning import FineTuning, chosen_batches
from tunebench_finetune.losses import original_loss

LEAST = 0.05
"""Share of the targets' samples that count as errors at least."""


class Errors(NamedTuple):
    """Training samples that the original gets wrong, or nearly."""

    rows: Tensor
    """Their row numbers, of the targets' samples alone."""
    reason: str | None = None
    """Why some that are right count."""


class JustTrainTwice(FineTuning):
    """Fine-tunes with every error of the original on the targets lambda times in each epoch (Liu et al. 2021).

    The original is the first training. The authors stop theirs early so that it errs; where the original errs on fewer
    than `LEAST` of the targets' samples, those with the smallest margins count as errors too. The paper's errors
    are those of all groups, which it does not know; here the targets are known.
    """

    def __init__(self) -> None:
        space: dict[str, BaseDistribution] = {"lambda": IntDistribution(1, 100, log=True)}
        super().__init__("jtt", original_loss, space)

    def prepare(self, task: TuningTask) -> Errors:
        """The errors, shared by all trials."""
        mine = torch.isin(task.y_train, torch.tensor(task.targets, device=task.device)).nonzero().flatten()
        logits, labels = task.logits_train[mine], task.y_train[mine, None]
        margin = logits.gather(1, labels)[:, 0] - logits.scatter(1, labels, -math.inf).amax(1)
        wrong, least = int((logits.argmax(1) != labels[:, 0]).sum()), math.ceil(LEAST * len(mine))
        rows = mine[margin.argsort(stable=True)[: max(wrong, least)]].sort().values
        few = f"only {wrong} training samples of the target are wrong: those nearest to it count too"
        return Errors(rows, None if wrong >= least else few)

    def batches(
        self, task: TuningTask, params: Mapping[str, Any], prepared: Errors, steps: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Epochs over all samples and ``lambda`` - 1 further copies of each error."""
        everyone = torch.arange(len(task.y_train), device=task.device)
        rows = torch.cat([everyone, prepared.rows.repeat(params["lambda"] - 1)])
        return chosen_batches(task, rows, steps, task.seed)
