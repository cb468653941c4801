"""What one pass over the samples leaves behind, and the readable torch path that fills it.

`absorb` here is the reference: the compiled `kernel.absorb` does the same to the same `State`, only faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK_ELEMENTS = 1 << 20
"""Most float64 elements of one temporary table: bounds the memory of the torch path."""


@dataclass(eq=False)
class State:
    """The running result for T targets, K ranks and H neurons; it does not grow with ``D_c``."""

    targets: tuple[int, ...]
    smallest: Tensor
    """The K smallest ratios over ``D_c`` so far, ascending, +inf where there are fewer; (T, H, K) float64."""
    fires: Tensor
    """Samples of ``D_c`` on which the neuron is positive, (T, H) int64."""
    others_right: Tensor
    """|D_c|, (T,) int64."""
    wrong: list[tuple[Tensor, Tensor]]
    """Per target, the ratios of ``D_w`` that may count: their neurons (n,) int64 and values (n,) float64."""

    @classmethod
    def empty(cls, targets: tuple[int, ...], k_max: int, neurons: int, device: torch.device) -> State:
        """The state before the first sample."""
        shape = (len(targets), neurons, k_max)
        return cls(
            targets=targets,
            smallest=torch.full(shape, torch.inf, dtype=torch.float64, device=device),
            fires=torch.zeros(shape[:2], dtype=torch.int64, device=device),
            others_right=torch.zeros(shape[0], dtype=torch.int64, device=device),
            wrong=[
                (torch.empty(0, dtype=torch.int64, device=device), torch.empty(0, dtype=torch.float64, device=device))
                for _ in targets
            ],
        )

    @classmethod
    def merged(cls, states: Sequence[State]) -> State:
        """The state after the samples of all ``states``, in whatever order they came."""
        first, *others = states
        if not others:
            return first
        pool = torch.cat([state.smallest for state in states], 2)
        whole = cls(
            targets=first.targets,
            smallest=pool.topk(first.smallest.shape[2], largest=False, sorted=True).values,
            fires=sum((state.fires for state in others), first.fires),
            others_right=sum((state.others_right for state in others), first.others_right),
            wrong=list(first.wrong),
        )
        for state in others:
            for t, found in enumerate(state.wrong):
                whole.keep_wrong(t, *found)
        return whole

    def keep_wrong(self, t: int, neuron: Tensor, ratio: Tensor) -> None:
        """Store ratios of ``D_w`` that can still count, for target number ``t``, and drop those that no longer can.

        No threshold can exceed the largest of the K ratios, which only falls from batch to batch: so what is stored
        stays small however many samples are misclassified.
        """
        old_neuron, old_ratio = self.wrong[t]
        if len(old_ratio):
            useful = old_ratio < self.smallest[t, :, -1][old_neuron]
            neuron, ratio = torch.cat([old_neuron[useful], neuron]), torch.cat([old_ratio[useful], ratio])
        self.wrong[t] = neuron, ratio


def absorb(state: State, hidden: Tensor, logits: Tensor, labels: Tensor) -> None:
    """Add a batch to ``state``: hidden (N, H), logits (N, C), labels (N,), all on the state's device.

    Raises ValueError for values that no result can be computed from.
    """
    check_values(hidden, logits, labels)
    right = logits.argmax(1) == labels
    for t, target in enumerate(state.targets):
        for rows in blocks((right & (labels != target)).nonzero().squeeze(1), hidden.shape[1]):
            ratio = ratios(gaps(logits[rows], target), hidden[rows])
            pool = torch.cat([state.smallest[t], ratio.t()], 1)
            state.smallest[t] = pool.topk(state.smallest.shape[2], largest=False, sorted=True).values
            state.fires[t] += (hidden[rows] > 0).sum(0)
            state.others_right[t] += len(rows)
        bound = state.smallest[t, :, -1]
        for rows in blocks((~right & (labels == target)).nonzero().squeeze(1), hidden.shape[1]):
            ratio = ratios(gaps(logits[rows], target), hidden[rows])
            below = ratio < bound
            state.keep_wrong(t, below.nonzero()[:, 1], ratio[below])


def count_wrong(state: State, threshold: Tensor) -> Tensor:
    """Samples of ``D_w`` whose ratio lies below ``threshold`` (T, K, H); int64, the same shape."""
    count = torch.zeros(threshold.shape, dtype=torch.int64, device=threshold.device)
    for t, (neuron, ratio) in enumerate(state.wrong):
        for r, row in enumerate(threshold[t]):
            count[t, r] = torch.bincount(neuron[ratio < row[neuron]], minlength=len(row))
    return count


def blocks(rows: Tensor, columns: int) -> Iterator[Tensor]:
    """Cut the indices so that a block of rows has at most `BLOCK_ELEMENTS` elements; nothing for no rows."""
    return iter(torch.split(rows, max(1, BLOCK_ELEMENTS // max(1, columns)))) if len(rows) else iter(())


def gaps(logits: Tensor, target: int) -> Tensor:
    """``MaxV - C_j`` in float64, (N,): how far the target's logit lies below the largest."""
    exact = logits.double()
    return exact.amax(1) - exact[:, target]


def ratios(gap: Tensor, hidden: Tensor) -> Tensor:
    """``gap / V`` where V > 0, else +inf, (N, H) float64: where a sample turns to the target."""
    v = hidden.double()
    return torch.where(v > 0, gap[:, None] / v, torch.inf)


def check_values(hidden: Tensor, logits: Tensor, labels: Tensor) -> None:
    """Raise ValueError for non-finite values, negative ``hidden`` and labels outside 0..C-1."""
    if not bool(hidden.isfinite().all()):
        raise ValueError("hidden holds NaN or infinite values")
    if bool((hidden < 0).any()):
        raise ValueError("hidden holds negative values: a synapse needs non-negative activations (ReLU)")
    if not bool(logits.isfinite().all()):
        raise ValueError("logits hold NaN or infinite values")
    if bool(((labels < 0) | (labels >= logits.shape[1])).any()):
        raise ValueError(f"labels must lie in 0..{logits.shape[1] - 1}, one per column of logits")
