"""Hidden activations and logits of a network, from one frozen pass in eval mode (docs/methods.md, sections 2 and 7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tunebench.networks.sites import MAX_HIDDEN, Reader, Watch, first_float, survey

FEW = 64
"""So few samples make one batch of any network."""


class Activations(NamedTuple):
    """``hidden`` (N, H) and ``logits`` (N, C), both float32, with ``layer_of`` (H,) int64."""

    hidden: Tensor
    logits: Tensor
    layer_of: Tensor


def forward(model: nn.Module, x: Tensor, batch_size: int | None = None) -> Tensor:
    """Logits (N, C) float32 of ``model`` for x (N, *shape), in eval mode and without gradients.

    ``batch_size`` is in rows; None takes what keeps a batch's largest tensor within limits.
    """
    model.eval()
    if batch_size is None:
        batch_size = len(x) if len(x) <= FEW else survey(model, x.shape[1:]).rows
    with torch.no_grad():
        return torch.cat([model(rows).float() for rows in batches(model, x, batch_size)])


def activations(
    model: nn.Module, x: Tensor, batch_size: int | None = None, max_hidden: int = MAX_HIDDEN
) -> Activations:
    """Hidden units and logits of ``model`` for x (N, *shape), first site first (see `tunebench.networks.sites`)."""
    anatomy = survey(model, x.shape[1:], max_hidden)
    hidden = torch.empty(len(x), anatomy.hidden, device=x.device)
    logits, done = [], 0
    columns = torch.split(hidden, [site.units for site in anatomy.sites], dim=1)

    def take(place: int, units: Tensor) -> None:
        columns[place][done : done + len(units)] = units

    with torch.no_grad():
        for rows in batches(model, x, batch_size or anatomy.rows):
            with Watch(Reader(anatomy.sites, take)):
                logits.append(model(rows).float())
            done += len(rows)
    return Activations(hidden, torch.cat(logits), anatomy.layer_of.to(x.device))


def batches(model: nn.Module, x: Tensor, size: int) -> Iterator[Tensor]:
    """Parts of x (N, *shape) with at most ``size`` rows, of the network's own floating point type."""
    like = first_float(model)
    for rows in torch.split(x, size):
        yield rows if like is None else rows.to(like.dtype)
