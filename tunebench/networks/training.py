"""Minibatch SGD on tensors that fit in memory: no DataLoader in the inner loop.

`sgd` trains the originals; `fine_tune` is what fine-tuning plugins call. Networks that are plain stacks of
Linear and ReLU take hand-written gradients (about twice as fast on small networks, because the weight
update needs no gradient buffer); everything else takes autograd. `tests/test_training.py` holds the two
paths against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps logits (B, C) and labels (B,) int64 to a scalar."""


def minibatches(x: Tensor, y: Tensor, steps: int, seed: int, batch_size: int = 64) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ``steps`` batches in random order, reshuffled each epoch; x (N, ...), y (N,).

    The last batch of an epoch may be smaller. The order depends on ``seed`` alone, on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    done = 0
    while done < steps:
        order = torch.randperm(len(y), generator=generator).to(x.device)
        for rows in torch.split(order, batch_size):
            if done == steps:
                return
            yield x.index_select(0, rows), y.index_select(0, rows)
            done += 1


def limited(steps: int, samples: int, batch_size: int = 64) -> int:
    """``steps``, but at most five epochs over ``samples``: on small data more only costs time."""
    return min(steps, 5 * -(-samples // batch_size))


def sgd(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    lr: float,
    *,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> None:
    """Train ``model`` in place with plain SGD over ``batches``; leaves it in eval mode.

    ``weight_decay`` is the L2 factor added to the gradient, ``momentum`` as in `torch.optim.SGD`.
    """
    layers = linear_stack(model)
    model.train()
    if layers is not None and momentum == 0.0:
        for x, y in batches:
            stack_step(layers, x, y, loss, lr, weight_decay)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, weight_decay=weight_decay, momentum=momentum)
        for x, y in batches:
            optimizer.zero_grad()
            loss(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    model.eval()
    model.zero_grad()


def fine_tune(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    lr: float,
    seed: int,
    *,
    weight_decay: float = 0.0,
) -> None:
    """`sgd` on a copy of a trained network, in place, as a tuner needs it.

    Every parameter is trained, also where the original was frozen. Dropout and the like draw from ``seed``,
    the global generators stay as they were. Where training diverges, the weights are put back: too large a
    step is a poor trial, not a broken tuner.
    """
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.requires_grad_(True)
    devices = {value.device for value in before.values() if value.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(seed)
        sgd(model, batches, loss, lr, weight_decay=weight_decay)
    if not all(bool(value.isfinite().all()) for value in model.state_dict().values()):
        model.load_state_dict(before)


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


def stack_step(layers: list[nn.Linear], x: Tensor, y: Tensor, loss: Loss, lr: float, weight_decay: float = 0.0) -> None:
    """One SGD step on a `linear_stack`, in place: the loss by autograd at the logits, the layers by hand."""
    last = len(layers) - 1
    inputs = [x.flatten(1)]
    with torch.no_grad():
        for k, layer in enumerate(layers):
            out = torch.addmm(layer.bias, inputs[k], layer.weight.t())
            inputs.append(out if k == last else out.relu_())
    logits = inputs.pop().requires_grad_()
    (delta,) = torch.autograd.grad(loss(logits, y), logits)
    with torch.no_grad():
        for k in range(last, -1, -1):
            layer, below = layers[k], inputs[k]
            after = torch.ops.aten.threshold_backward(delta @ layer.weight, below, 0) if k else delta
            if weight_decay:
                layer.weight.mul_(1 - lr * weight_decay)
                layer.bias.mul_(1 - lr * weight_decay)
            layer.weight.addmm_(delta.t(), below, alpha=-lr)
            layer.bias.sub_(delta.sum(0), alpha=lr)
            delta = after
