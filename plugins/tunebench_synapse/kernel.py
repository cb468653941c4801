"""The compiled path: what `state.absorb` does, reading each activation once."""

from __future__ import annotations

import functools
import logging
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from tunebench_synapse.state import State, check_values, keep_wrong

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
    hidden, logits = at_least_float32(hidden), at_least_float32(logits)
    wrong = torch.zeros(len(labels), dtype=torch.bool)
    valid = compiled().add_samples(
        hidden.numpy(),
        hidden.view(torch.int32 if hidden.dtype == torch.float32 else torch.int64).numpy(),
        logits.numpy(),
        labels.to(torch.int64).contiguous().numpy(),
        np.asarray(state.targets, dtype=np.int64),
        state.smallest.numpy(),
        state.fires.numpy(),
        state.others_right.numpy(),
        wrong.numpy(),
    )
    if not valid:
        check_values(hidden, logits, labels)
    keep_wrong(state, (hidden, logits, labels), wrong, ratios_below)


def ratios_below(hidden: Tensor, gap: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
    """As `state.ratios_below`."""
    neuron, ratio = compiled().ratios_below(hidden.numpy(), gap.numpy(), bound.numpy())
    return torch.from_numpy(neuron), torch.from_numpy(ratio)


def count_wrong(state: State, threshold: Tensor) -> Tensor:
    """As `state.count_wrong`."""
    count = torch.zeros(threshold.shape, dtype=torch.int64)
    for t, (neuron, ratio) in enumerate(state.wrong):
        compiled().add_counts(neuron.numpy(), ratio.numpy(), threshold[t].numpy(), count[t].numpy())
    return count


def at_least_float32(table: Tensor) -> Tensor:
    """Contiguous float32 or float64: what the kernel is compiled for. Half precision converts exactly."""
    return (table if table.dtype in (torch.float32, torch.float64) else table.float()).contiguous()
