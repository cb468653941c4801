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
THRESHOLD_BACKWARD = torch.ops.aten.threshold_backward.default
FUSED_ADAMW = torch.ops.aten._fused_adamw_.default


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


def gradients(layers: list[nn.Linear]) -> list[Layer]:
    """Buffers of zeros, which also become the parameters' ``grad``."""
    for layer in layers:
        for parameter in layer.parameters():
            parameter.grad = torch.zeros_like(parameter)
    grads = [(p.weight.grad, p.bias.grad) for p in layers]
    return [Layer(weight, weight.t(), bias) for weight, bias in grads if weight is not None and bias is not None]


def backward(layers: list[Layer], x: Tensor, y: Tensor, gradient: Gradient) -> Iterator[tuple[int, Tensor, Tensor]]:
    """From the last layer to the first: its number, dL / doutput (B, out) and its input (B, in).

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


class Descent(NamedTuple):
    """SGD as in `torch.optim.SGD`: what its steps along one stack share."""

    lr: float
    weight_decay: float
    momentum: float
    velocity: list[Layer]
    """Buffers of the momentum; none without."""


def descend(layers: list[Layer], batch: tuple[Tensor, Tensor], gradient: Gradient, by: Descent) -> None:
    """One step, in place: the weights, or their velocity, take the product itself, with no gradient between."""
    for k, delta, below in backward(layers, *batch, gradient):
        if by.momentum:
            _roll(layers[k], by.velocity[k], delta, below, by)
        else:
            _step(layers[k], delta, below, by)


def _step(layer: Layer, delta: Tensor, below: Tensor, by: Descent) -> None:
    """One layer without momentum."""
    if by.weight_decay:
        layer.weight.mul_(1 - by.lr * by.weight_decay)
        layer.bias.mul_(1 - by.lr * by.weight_decay)
    layer.weight.addmm_(delta.t(), below, alpha=-by.lr)
    layer.bias.sub_(delta.sum(0), alpha=by.lr)


def _roll(layer: Layer, velocity: Layer, delta: Tensor, below: Tensor, by: Descent) -> None:
    """One layer with momentum."""
    velocity.weight.addmm_(delta.t(), below, beta=by.momentum)
    velocity.bias.mul_(by.momentum).add_(delta.sum(0))
    for value, moving in ((layer.weight, velocity.weight), (layer.bias, velocity.bias)):
        if by.weight_decay:
            moving.add_(value, alpha=by.weight_decay)
        value.sub_(moving, alpha=by.lr)


def differentiate(layers: list[Layer], grads: list[Layer], batch: tuple[Tensor, Tensor], gradient: Gradient) -> None:
    """Write the gradients of one batch into ``grads``."""
    for k, delta, below in backward(layers, *batch, gradient):
        torch.mm(delta.t(), below, out=grads[k].weight)
        torch.sum(delta, 0, out=grads[k].bias)


def adamw(layers: list[Layer], grads: list[Layer], rates: Iterator[float], decay: float) -> Callable[[], None]:
    """The step of `torch.optim.AdamW` by its own operator, the same to the last bit; ``rates`` are the step sizes.

    Half of the optimiser's time on networks this small is its bookkeeping in Python.
    """
    values, slopes = ([p for layer in part for p in (layer.weight, layer.bias)] for part in (layers, grads))
    means, squares = ([torch.zeros_like(value) for value in values] for _ in range(2))
    taken = torch.zeros((), device=values[0].device)

    def step() -> None:
        taken.add_(1)
        FUSED_ADAMW(
            values, slopes, means, squares, [], [taken] * len(values), lr=next(rates), beta1=0.9, beta2=0.999,
            weight_decay=decay, eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip

    return step
