"""Hidden activations and logits of a network, from one frozen pass in eval mode (docs/methods.md, section 2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

BATCH = 10_000


class Activations(NamedTuple):
    """``hidden`` (N, H) and ``logits`` (N, C), both float32, with ``layer_of`` (H,) int64."""

    hidden: Tensor
    logits: Tensor
    layer_of: Tensor


def forward(model: nn.Module, x: Tensor, batch_size: int = BATCH) -> Tensor:
    """Logits (N, C) of ``model`` for x (N, *shape), in eval mode and without gradients."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(rows) for rows in torch.split(x, batch_size)])


def activations(model: nn.Module, x: Tensor, batch_size: int = BATCH) -> Activations:
    """All hidden units of ``model`` for x (N, *shape): the (N, H_l) outputs of its ReLU modules, first layer first."""
    hidden, logits = [], []
    widths: list[int] = []
    model.eval()
    with torch.no_grad(), recorded(model) as layers:
        for rows in torch.split(x, batch_size):
            layers.clear()
            logits.append(model(rows))
            widths = [layer.shape[1] for layer in layers]
            hidden.append(torch.cat(layers, dim=1) if layers else logits[-1].new_zeros(len(rows), 0))
    layer_of = torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(widths, dtype=torch.int64))
    return Activations(torch.cat(hidden), torch.cat(logits), layer_of.to(x.device))


@contextmanager
def recorded(model: nn.Module) -> Iterator[list[Tensor]]:
    """While open, each forward appends the 2-D outputs of the model's ReLU modules to the yielded list."""
    seen: list[Tensor] = []

    def record(_module: nn.Module, _args: object, out: Tensor) -> None:
        if out.dim() == 2:
            seen.append(out)

    handles = [m.register_forward_hook(record) for m in model.modules() if isinstance(m, nn.ReLU)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
