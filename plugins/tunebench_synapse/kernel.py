"""The compiled path: what `state.absorb` does, reading each activation once."""

from __future__ import annotations

import functools
import logging
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunebench_synapse.state import State, check_values

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]

GAPS = 1 << 20
"""Gaps of a block of samples, all targets together: 8 MiB."""
NEAREST, SAMPLE = 128, 2048
"""Samples for each rank that are looked at first, and how many gaps tell which those are."""
_LOG = logging.getLogger(__name__)


@functools.cache
def available() -> bool:
    """Whether numba can be imported."""
    try:
        compiled()
    except Exception as error:  # numba refuses versions of NumPy, Python and LLVM in many ways
        _LOG.info("numba cannot be imported (%s): taking the torch path", error)
        return False
    return True


def compiled() -> ModuleType:
    """The module that imports numba: late, because that takes half a second."""
    from tunebench_synapse import onepass

    return onepass


def absorb(state: State, hidden: Tensor, logits: Tensor, labels: Tensor) -> None:
    """Add a batch to ``state``, as `state.absorb` does; CPU tensors only."""
    hidden, logits, labels = at_least_float32(hidden), at_least_float32(logits), labels.long().contiguous()
    values, bits = hidden.numpy(), hidden.view(torch.int32 if hidden.dtype == torch.float32 else torch.int64).numpy()
    targets, smallest = np.asarray(state.targets, dtype=np.int64), state.smallest.numpy()
    group_of = np.full(logits.shape[1], len(targets))
    group_of[targets] = np.arange(len(targets))
    kth = rounded_up(smallest[:, :, -1], values.dtype)
    # By group: one for each target, one for all other classes; the last one, of wrong samples, is not of any ``D_c``.
    fires, right = np.zeros((len(targets) + 1, values.shape[1]), np.int32), np.zeros(len(targets) + 1, np.int64)
    wrong = [np.empty(0, np.int64)]
    size = max(1, GAPS // max(1, len(targets)))
    for first in range(0, len(values), size):
        here = slice(first, first + size)
        gaps, group = np.empty((len(targets), len(values[here]))), np.empty(len(values[here]), np.int32)
        usable = compiled().read(logits.numpy()[here], labels.numpy()[here], targets, group_of, gaps, group)
        if usable and not first:
            add_nearest(values[here], gaps, smallest, kth)
        if not (usable and compiled().add_block(values[here], bits[here], gaps, group, smallest, kth, fires)):
            check_values(hidden, logits, labels)
        right += np.bincount(group, minlength=len(right) + 1)[:-1]
        wrong.append(first + np.flatnonzero(group == len(right)))
    count = len(targets)
    state.fires += torch.from_numpy(fires.sum(0, dtype=np.int64) - fires[:count])
    state.others_right += torch.from_numpy(right.sum() - right[:count])
    keep_wrong(state, (values, logits.numpy(), labels.numpy()), np.concatenate(wrong), group_of)


def add_nearest(hidden: Floats, gaps: Floats, smallest: Floats, kth: Floats) -> None:
    """Add the samples of a block with the smallest ``gaps`` (T, n), about `NEAREST` for each rank, and take them out.

    They hold nearly all of the smallest ratios: whatever comes later is measured against bounds that are tight.
    """
    for t, gap in enumerate(gaps):
        step = max(1, len(gap) // SAMPLE)
        sample = gap[::step]
        sample = np.sort(sample[sample == sample])  # without NaN
        rank = NEAREST * smallest.shape[2] // step
        rows = np.flatnonzero(gap <= (sample[rank] if rank < len(sample) else np.inf))
        compiled().add_rows(hidden, rows[gap[rows].argsort()], gap, smallest[t], kth[t])


def keep_wrong(state: State, tables: tuple[Floats, Floats, Rows], wrong: Rows, group_of: Rows) -> None:
    """Store the ratios of the samples ``wrong`` (n,), by target; ``tables`` are hidden, logits and labels."""
    bound = state.smallest[:, :, -1].contiguous().numpy()
    target, *found = compiled().ratios_of_wrong(*tables, wrong, group_of, bound)
    for t in range(len(bound)):
        neuron, ratio = (torch.from_numpy(part[target == t]) for part in found)
        state.keep_wrong(t, neuron, ratio)


def rounded_up(values: Floats, dtype: np.dtype[Any]) -> Floats:
    """Float64 values in the precision of ``dtype``, none below what it was."""
    short = values.astype(dtype)
    return np.where(short < values, np.nextafter(short, dtype.type(np.inf)), short)


def count_wrong(state: State, threshold: Tensor) -> Tensor:
    """As `state.count_wrong`."""
    count = torch.zeros(threshold.shape, dtype=torch.int64)
    for t, (neuron, ratio) in enumerate(state.wrong):
        compiled().add_counts(neuron.numpy(), ratio.numpy(), threshold[t].numpy(), count[t].numpy())
    return count


def at_least_float32(table: Tensor) -> Tensor:
    """Contiguous float32 or float64: what the kernel is compiled for. Half precision converts exactly."""
    return (table if table.dtype in (torch.float32, torch.float64) else table.float()).contiguous()
