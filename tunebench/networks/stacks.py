"""Hand-written gradients of plain stacks of Linear and ReLU, the networks of the paper.

On networks this small a step under autograd takes about twice as long as its matrix products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

Gradient = Callable[[Tensor, Tensor], Tensor]
"""Maps logits (B, C) and labels (B,) to dL / dlogits (B, C)."""
Slopes = Iterator[tuple[int, Tensor, Tensor]]
"""From the last layer to the first: its number, dL / doutput (B, out) and its input (B, in)."""
THRESHOLD_BACKWARD = torch.ops.aten.threshold_backward.default


def linear_stack(model: nn.Module) -> list[nn.Linear] | None:
    """The Linear layers of a plain ``[Flatten,] (Linear, ReLU)*, Linear`` network, or None for any other."""
    if type(model) is not nn.Sequential:
        return None
    parts = list(model)
    if parts and type(parts[0]) is nn.Flatten:
        parts = parts[1:]
    linears, relus = parts[::2], parts[1::2]
    plain = len(parts) % 2 == 1 and all(type(r) is nn.ReLU for r in relus)
    if not plain or not all(type(p) is nn.Linear and isinstance(p.bias, nn.Parameter) for p in linears):
        return None
    weights = [p.weight for p in linears]
    if not all(isinstance(w, nn.Parameter) for w in weights) or len(set(map(id, weights))) < len(weights):
        return None  # computed weights (torch.nn.utils.prune) and tied ones
    if not all(p.requires_grad for layer in linears for p in layer.parameters()):
        return None
    return [layer for layer in linears if isinstance(layer, nn.Linear)]


class Layer(NamedTuple):
    """A Linear layer's numbers, or their gradients, outside autograd: what changes them changes the network."""

    weight: Tensor
    """(out, in)."""
    turned: Tensor
    """The same, (in, out)."""
    bias: Tensor
    """(out,)."""


def numbers(layers: list[nn.Linear]) -> list[Layer]:
    """Views of the parameters, made once for many steps."""
    return [Layer(p.weight.detach(), p.weight.detach().t(), p.bias.detach()) for p in layers]


def backward(layers: list[Layer], x: Tensor, y: Tensor, gradient: Gradient) -> Slopes:
    """One batch, forward and back.

    A layer may be changed as soon as it has been yielded: what the earlier ones need of it is computed before.
    """
    inputs = [x.flatten(1)]
    for layer in layers[:-1]:
        inputs.append(torch.addmm(layer.bias, inputs[-1], layer.turned).relu_())
    delta = gradient(torch.addmm(layers[-1].bias, inputs[-1], layers[-1].turned), y)
    for k in range(len(layers) - 1, 0, -1):
        below = THRESHOLD_BACKWARD(delta @ layers[k].weight, inputs[k], 0)
        yield k, delta, inputs[k]
        delta = below
    yield 0, delta, inputs[0]
