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
    # Below `low` a factor of a product counts as 0, so that no product is denormal.
    low = 1e-18 if hidden.dtype == torch.float32 else 1e-150
    valid = compiled().add_samples(
        hidden.numpy(),
        logits.numpy(),
        labels.to(torch.int64).contiguous().numpy(),
        np.asarray(state.targets, dtype=np.int64),
        state.smallest.numpy(),
        state.fires.numpy(),
        state.others_right.numpy(),
        wrong.numpy(),
        low,
    )
    if not valid:
        check_values(hidden, logits, labels)
    keep_wrong(state, hidden, logits, labels, wrong)


def at_least_float32(table: Tensor) -> Tensor:
    """Contiguous float32 or float64: what the kernel is compiled for. Half precision converts exactly."""
    return (table if table.dtype in (torch.float32, torch.float64) else table.float()).contiguous()
