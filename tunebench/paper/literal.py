"""Synaptic join by the letter of the paper (algorithms 1 and 2), its small constants included.

The suite's own evaluation divides by V only where V > 0 (docs/methods.md, section 2). The paper adds a constant to
every V: a neuron that is silent on all samples that are right gets a threshold of gap / `EPSILON`, and can win with it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tunebench.tuner import LogitEdit, TuningTask

EPSILON = 1e-6
"""Both constants of the paper, whose size it does not give: what is added to V, and what is taken off the ratio."""
RANKS = {"sj": 1, "smvt-sj": 2}
"""Which smallest ratio sets the threshold."""


class Literal(NamedTuple):
    """Active neurons in the paper's order; all (A,)."""

    neurons: Tensor
    threshold: Tensor
    count: Tensor  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    silent: Tensor
    """Whether the neuron is 0 on every sample that is right and of another class."""

    def edit(self, task: TuningTask, n: int) -> LogitEdit:
        """The first n synapses, each with its threshold / n as weight."""
        weight = task.hidden_train.new_zeros(task.hidden_train.shape[1])
        chosen = self.neurons[:n]
        weight[chosen] = (self.threshold[:n] / max(1, len(chosen))).to(weight.dtype)
        return LogitEdit.of_target(task, weight)

    def ranking(self) -> dict[str, object]:
        """How many are active, how many of these silent, and the four largest counts."""
        return {"active": len(self.neurons), "silent": int(self.silent.sum()), "counts": self.count[:4].tolist()}


def literal_synapses(task: TuningTask, k: int) -> Literal:
    """Evaluate all neurons on the training tables by the paper's own rule; no neuron where D_w or D_c is too small.

    With E = (MaxV - C) / (V + eps): the threshold is the k-th smallest absolute E over D_c less eps, the count that of
    E over D_w whose absolute value is at most the threshold. Active is who has at least half of the largest count;
    order by count, then threshold, then index.
    """
    hidden, logits, labels = task.hidden_train.double(), task.logits_train.double(), task.y_train
    top, predicted = logits.max(1)
    gap, right, of_target = top - logits[:, task.target], predicted == labels, labels == task.target

    def ratios(rows: Tensor) -> Tensor:
        return (gap[rows, None] / (hidden[rows] + EPSILON)).abs()

    d_w, d_c = of_target & ~right, ~of_target & right
    threshold, count = hidden.new_zeros(hidden.shape[1]), labels.new_zeros(hidden.shape[1])
    if int(d_c.sum()) >= k:
        threshold = ratios(d_c).kthvalue(k, dim=0).values - EPSILON
        count = (ratios(d_w) <= threshold).sum(0)
    most = int(count.max())
    active = [i for i in range(len(count)) if count[i] > 0 and 2 * int(count[i]) >= most]
    active.sort(key=lambda i: (-int(count[i]), -float(threshold[i]), i))
    neurons = torch.tensor(active, dtype=torch.int64)
    return Literal(neurons, threshold[neurons], count[neurons], (hidden[d_c][:, neurons] == 0).all(0))
