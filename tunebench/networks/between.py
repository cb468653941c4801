"""Networks on the line through two of one architecture: (1 - share) * original + share * tuned, weight by weight.

WiSE-FT (Wortsman et al. 2022, Robust fine-tuning of zero-shot models) and task arithmetic; docs/methods.md, section 4.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from tunebench.tuner import LogitEdit


def same_architecture(model: nn.Module, tuned: nn.Module) -> bool:
    """Whether the state dicts of two networks have the same names and shapes."""
    mine, other = model.state_dict(), tuned.state_dict()
    return mine.keys() == other.keys() and all(
        isinstance(value, Tensor) and isinstance(other[name], Tensor) and value.shape == other[name].shape
        for name, value in mine.items()
    )


def between(model: nn.Module, tuned: nn.Module | LogitEdit, share: float) -> nn.Module | LogitEdit:
    """What lies ``share`` of the way from ``model`` to ``tuned``: 0 is the one, 1 the other, above 1 is beyond.

    Parameters and floating point buffers, the running statistics of batch normalisation say, are interpolated; counters
    and other whole numbers are the tuned network's. Of an edit, an addition to the logits, it is a multiple.
    """
    if share == 1:
        return tuned
    if isinstance(tuned, LogitEdit):
        return tuned.scaled(share)
    ours, theirs = model.state_dict(), tuned.state_dict()
    state = {
        name: torch.lerp(ours[name].to(value), value, share) if value.is_floating_point() else value
        for name, value in theirs.items()
    }
    mixed = copy.deepcopy(tuned)
    mixed.load_state_dict(state)
    return mixed.eval()
