"""How much each neuron alone could do for a target class (Xu & Wang 2026, algorithm 1; docs/methods.md, section 2).

A candidate synapse (i, j) adds ``w * V[i]`` to the logit of class j. ``D_w`` are the samples of class j that
are misclassified, ``D_c`` those of other classes that are classified right; a sample turns to j at the weight
``gap / V[i]``, gap being the largest logit less that of j. The threshold is just below the k-th smallest such
weight over ``D_c``, the count how many samples of ``D_w`` turn below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import index
from typing import NamedTuple

import torch
from torch import Tensor

from tunebench_synapse import kernel
from tunebench_synapse import state as reference
from tunebench_synapse.state import State

GUARD = 1e-4
"""Relative distance of a threshold from its ratio: float32 arithmetic breaks the flip bound with 1e-6."""
SMALL = 1 << 22
"""Activations times targets below which `evaluate_all` takes the torch path."""
RARE = 1000
"""A neuron that fires on less than one in `RARE` samples of ``D_c`` is no candidate."""


class Evaluation(NamedTuple):
    """Thresholds in units of weight, float64, and counts of samples, int64, of the same shape (..., H).

    Both are 0 where the neuron is no candidate.
    """

    threshold: Tensor
    count: Tensor  # type: ignore[assignment]  # hides tuple.count, which nobody needs here


def evaluate(hidden: Tensor, logits: Tensor, labels: Tensor, target: int, k: int = 1) -> Evaluation:
    """Evaluate every neuron as a synapse to ``target``; k = 1 is SJ, k = 2 SMVT-SJ.

    hidden (N, H) non-negative floats, logits (N, C) floats, labels (N,) integers -> threshold and count (H,).
    For units that can be negative there is `evaluate_signed`.
    Raises ValueError that says which input is wrong. Source: docs/methods.md, section 2, "Choices settled".
    """
    check_rank(k)
    # Ranks beyond the samples have no ratio: thresholds 0, without a table of k rows.
    ranks = min(k, len(labels) + 1)
    result = evaluate_all(hidden, logits, labels, (target,), ranks)
    return Evaluation(result.threshold[0, ranks - 1], result.count[0, ranks - 1])


def evaluate_signed(hidden: Tensor, logits: Tensor, labels: Tensor, target: int, k: int = 1) -> Evaluation:
    """`evaluate` for units that can be negative: both signs of the weight, threshold and count (2, H).

    ``[0]`` are positive weights, ``[1]`` negative ones: the weight is minus the threshold. A weight turns only samples
    on which its unit has its sign, so that ``[0]`` is `evaluate` of V's positive part and ``[1]`` of that of -V.
    Source: docs/methods.md, section 2, "Signed units".
    """
    check_shapes(hidden, logits, labels)
    hidden, units = hidden.detach(), hidden.shape[1]
    signed = hidden.numel() > 0 and bool(hidden.amin() < 0)
    # A unit that is never negative has no second candidate; a table without any other is read as it is.
    negative = (hidden < 0).any(0).nonzero().squeeze(1) if signed else labels.new_empty(0, dtype=torch.int64)
    table = torch.cat([hidden, -hidden[:, negative]], 1).clamp_(min=0) if signed else hidden
    found = evaluate(table, logits, labels, target, k)
    both = Evaluation(*(field.new_zeros(2, units) for field in found))
    for sides, field in zip(both, found, strict=True):
        sides[0], sides[1, negative] = field[:units], field[units:]
    return both


def evaluate_all(
    hidden: Tensor,
    logits: Tensor,
    labels: Tensor,
    targets: Sequence[int] | None = None,
    k_max: int = 8,
    *,
    threads: int = 1,
) -> Evaluation:
    """`evaluate` for every k in 1..k_max and several targets (None: every class) in one pass.

    Threshold and count are (T, k_max, H); ``[t, k - 1]`` is what ``evaluate(..., targets[t], k)`` gives, however many
    ``threads`` share the samples.
    """
    # On a small table the torch path is done before numba is imported.
    work = hidden.numel() * (logits.shape[-1] if targets is None else len(targets))
    stream = StreamingEvaluator(targets, k_max, compiled=work >= SMALL, threads=threads)
    stream.update(hidden, logits, labels)
    return stream.result()


class StreamingEvaluator:
    """`evaluate_all` batch by batch, for tables that do not fit in memory.

    Holds H x k_max ratios per target, and those ratios of its misclassified samples that may count yet; as much for
    each of the ``threads`` that share a batch. After a batch that was refused the evaluator is of no use.
    ``compiled=False`` forces the torch path, which CUDA tensors and machines without numba take anyway. Neither
    changes the results.
    """

    def __init__(
        self, targets: Sequence[int] | None = None, k_max: int = 8, *, compiled: bool = True, threads: int = 1
    ) -> None:
        self.targets = None if targets is None else tuple(index(target) for target in targets)
        self.k_max = check_rank(k_max)
        self.compiled = compiled
        self.threads = index(threads)
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        self._classes = 0
        self._states: list[State] = []
        self._refused = False

    def update(self, hidden: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add hidden (N, H), logits (N, C) and labels (N,); raises ValueError that says what is wrong."""
        if self._refused:
            raise ValueError("an earlier batch was refused: start a new evaluator")
        check_shapes(hidden, logits, labels)
        if not self._states:
            self._start(hidden, logits)
        state = self._states[0]
        if hidden.device != state.fires.device:
            raise ValueError(f"batch on {hidden.device} after batches on {state.fires.device}")
        if hidden.shape[1] != state.fires.shape[1] or logits.shape[1] != self._classes:
            raise ValueError(
                f"batch of {hidden.shape[1]} neurons and {logits.shape[1]} classes after batches of "
                f"{state.fires.shape[1]} and {self._classes}"
            )
        self._refused = True
        tables = hidden.detach(), logits.detach(), labels
        if self.threads == 1:
            self._path.absorb(state, *tables)
        else:
            shares = zip(*(torch.tensor_split(table, self.threads) for table in tables), strict=True)
            with ThreadPoolExecutor(self.threads) as pool:
                done = [
                    pool.submit(self._path.absorb, own, *share) for own, share in zip(self._states, shares, strict=True)
                ]
            for future in done:
                future.result()
        self._refused = False

    def result(self) -> Evaluation:
        """Threshold and count (T, k_max, H) of all samples so far."""
        if not self._states or self._refused:
            raise ValueError("no result: no batch was given, or one was refused")
        state = State.merged(self._states)
        threshold = thresholds(state)
        return Evaluation(threshold, self._path.count_wrong(state, threshold))

    def _start(self, hidden: Tensor, logits: Tensor) -> None:
        self._classes = logits.shape[1]
        targets = tuple(range(self._classes)) if self.targets is None else self.targets
        for target in targets:
            if not 0 <= target < self._classes or targets.count(target) > 1:
                raise ValueError(f"target {target} is given twice or not one of the {self._classes} classes")
        on_cpu = hidden.device.type == "cpu"
        self._path = kernel if on_cpu and self.compiled and kernel.available() else reference
        self._states = [State.empty(targets, self.k_max, hidden.shape[1], hidden.device) for _ in range(self.threads)]


def thresholds(state: State) -> Tensor:
    """Just below the k-th smallest ratios, 0 where the neuron is no candidate; (T, K, H) float64."""
    m = state.smallest.transpose(1, 2)
    rank = torch.arange(1, m.shape[1] + 1, device=m.device)[:, None]
    fires = state.fires[:, None, :]
    enough = (fires >= rank) & (fires * RARE >= state.others_right[:, None, None])
    return torch.where(enough & (m > 0) & m.isfinite(), m * (1 - GUARD), 0.0).contiguous()


def check_rank(k: int) -> int:
    """Return ``k`` as an int, or raise ValueError when it is below 1."""
    if index(k) < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    return index(k)


def check_shapes(hidden: Tensor, logits: Tensor, labels: Tensor) -> None:
    """Raise ValueError unless the tables are (N, H) and (N, C) floats and (N,) integers on one device."""
    for name, table in (("hidden", hidden), ("logits", logits)):
        if table.ndim != 2 or not table.is_floating_point():
            raise ValueError(f"{name} must be a matrix of floats, not {table.dtype} {tuple(table.shape)}")
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be a vector of integers, not {labels.dtype} {tuple(labels.shape)}")
    if not len(hidden) == len(logits) == len(labels):
        raise ValueError(f"hidden, logits and labels disagree: {len(hidden)}, {len(logits)} and {len(labels)} samples")
    if logits.shape[1] == 0:
        raise ValueError("logits must have at least one column")
    if not hidden.device == logits.device == labels.device:
        raise ValueError("hidden, logits and labels must be on one device")
