"""Minibatch training on tensors that fit in memory: no DataLoader in the inner loop.

`sgd` trains the originals; `fine_tune` is what fine-tuning plugins call, with plain SGD or any `Optimiser`. Plain
stacks of Linear and ReLU take hand-written gradients (`networks.stacks`) and steps, everything else autograd;
`tests/networks/test_training.py` holds the two paths against each other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tunebench.errors import Inapplicable
from tunebench.networks.losses import Loss, logit_gradient
from tunebench.networks.sites import first_float
from tunebench.networks.stacks import backward, linear_stack, numbers
from tunebench.networks.steps import adamw, descent, rolling, scheduled
from tunebench.tuner import TuningTask

Batches = Iterable[tuple[Tensor, Tensor]]
"""Inputs (B, ...) and labels (B,) int64."""


@dataclass(frozen=True)
class Optimiser:
    """How training steps are taken: what all fine-tuners may choose from.

    Raises ValueError that says which fields do not go together.
    """

    lr: float
    """Step size; the largest one of a one-cycle schedule."""
    name: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["constant", "one-cycle"] = "constant"
    steps: int = 0
    """Steps of the whole schedule, at least as many as there are batches; one-cycle needs them."""
    weight_decay: float = 0.0
    """Of sgd the L2 factor added to the gradient, of adamw decoupled from it."""
    momentum: float = 0.0
    """Of sgd alone."""
    nesterov: bool = False
    """Whether the momentum is Nesterov's."""

    def __post_init__(self) -> None:
        if self.name not in ("sgd", "adamw") or self.schedule not in ("constant", "one-cycle"):
            raise ValueError(f"no optimiser {self.name!r} with schedule {self.schedule!r}: see the fields' types")
        if self.schedule == "one-cycle" and self.steps < 1:
            raise ValueError("a one-cycle schedule needs its number of steps")
        if self.name == "adamw" and self.momentum:
            raise ValueError("adamw has no momentum to choose")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov is a kind of momentum, and there is none")

    @property
    def plain(self) -> bool:
        """Whether it is SGD, with or without L2 and the usual momentum, at a constant step size."""
        return self.name == "sgd" and self.schedule == "constant" and not self.nesterov

    def stepper(self, parameters: Iterable[nn.Parameter]) -> Callable[[], None]:
        """The function that takes one step along the parameters' gradients: torch's optimiser and schedule."""
        options: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        optimizer: torch.optim.Optimizer
        if self.name == "adamw":
            optimizer = torch.optim.AdamW(parameters, **options)
        else:
            optimizer = torch.optim.SGD(parameters, momentum=self.momentum, nesterov=self.nesterov, **options)
        if self.schedule == "constant":
            return optimizer.step
        cycle = self.cycle(optimizer)

        def step() -> None:
            optimizer.step()
            cycle.step()

        return step

    def cycle(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.OneCycleLR:
        """The one-cycle schedule of ``optimizer``, whose momentum stays as it is."""
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, self.steps, cycle_momentum=False)

    def rates(self) -> Iterator[float]:
        """The step sizes, one after the other: of a cycle those of `cycle`, without its bookkeeping at every step."""
        if self.schedule == "constant":
            yield from itertools.repeat(self.lr)
        low, rise, steps = self.lr / 25, 0.3 * self.steps - 1, self.steps - 1
        for step in range(self.steps + 1):
            if step <= rise:
                start, end, share = low, self.lr, step / rise
            else:
                start, end, share = self.lr, low / 1e4, (step - rise) / (steps - rise)
            yield end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        raise ValueError(f"more batches than the {self.steps} steps of the schedule")


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


def limited(steps: int, over: int | TuningTask, batch_size: int = 64) -> int:
    """``steps``, but at most five epochs over so many samples: on small data more only costs time.

    Over a task: five epochs of its training samples, and its ``max_steps``.
    """
    if isinstance(over, int):
        return min(steps, 5 * -(-over // batch_size))
    return min(limited(steps, len(over.y_train), batch_size), over.max_steps)


def train(model: nn.Module, batches: Batches, loss: Loss, optimiser: Optimiser) -> None:
    """Train ``model`` in place over ``batches``; leaves it in eval mode."""
    layers, batches = linear_stack(model), iter(batches)
    first = list(itertools.islice(batches, 1))
    batches = itertools.chain(first, batches)
    if layers is None or any(x.dtype != layers[0].weight.dtype for x, _ in first):
        layout = laid_out(model, first[0][0] if first else None)
        _train_by_autograd(model, ((x.contiguous(memory_format=layout), y) for x, y in batches), loss, optimiser)
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    else:
        _train_stack(layers, batches, loss, optimiser)
    model.eval()
    model.zero_grad()


def _train_stack(layers: list[nn.Linear], batches: Batches, loss: Loss, optimiser: Optimiser) -> None:
    """`train` with hand-written gradients."""
    own, gradient, decay = numbers(layers), logit_gradient(loss), optimiser.weight_decay
    if optimiser.name == "adamw":
        step = adamw(own, optimiser.rates(), decay)
    elif not optimiser.plain:
        step = scheduled(own, optimiser.rates(), decay, optimiser.momentum, optimiser.nesterov)
    elif optimiser.momentum:
        step = rolling(own, optimiser.lr, decay, optimiser.momentum)
    else:
        step = descent(own, optimiser.lr, decay)
    for batch in batches:
        step(backward(own, *batch, gradient))


def laid_out(model: nn.Module, x: Tensor | None) -> torch.memory_format:
    """Lay convolutions out channels last where that works, in place; returns how images x (N, C, H, W) have to lie.

    It saves a third to a half of a step on a CPU. A network that takes views of its maps cannot be run that way: one
    forward of two samples tells.
    """
    if x is None or x.dim() != 4:
        return torch.contiguous_format
    like, few = first_float(model), x[:2].contiguous(memory_format=torch.channels_last)
    model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        with torch.no_grad():
            model(few if like is None else few.to(like.dtype))
    except RuntimeError:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return torch.contiguous_format
    return torch.channels_last


def _train_by_autograd(model: nn.Module, batches: Batches, loss: Loss, optimiser: Optimiser) -> None:
    """The readable reference, and the way for any other network, of any floating point type."""
    model.train()
    step, like = optimiser.stepper(model.parameters()), first_float(model)
    normalised = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules())
    for x, y in batches:
        if normalised and len(y) == 1:
            continue  # the rest of an epoch: one sample has no variance to normalise by
        model.zero_grad()
        logits = model(x if like is None else x.to(like.dtype))
        loss(logits.to(x.dtype), y).backward()  # type: ignore[no-untyped-call]
        step()


def sgd(
    model: nn.Module, batches: Batches, loss: Loss, lr: float, *, weight_decay: float = 0.0, momentum: float = 0.0
) -> None:
    """`train` with SGD at a constant step size.

    ``weight_decay`` is the L2 factor added to the gradient, ``momentum`` as in `torch.optim.SGD`.
    """
    train(model, batches, loss, Optimiser(lr, weight_decay=weight_decay, momentum=momentum))


def fine_tune(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    lr: float | Optimiser,
    seed: int,
    *,
    weight_decay: float = 0.0,
) -> None:
    """`train` on a copy of a trained network, in place, as a tuner needs it.

    ``lr`` is the step size of plain SGD, with ``weight_decay``, or an `Optimiser`, which has its own. Every parameter
    is trained, also where the original was frozen. Dropout and the like draw from ``seed``, the global generators
    stay as they were. Where training diverges, the weights are put back: too large a step is a poor trial, not a
    broken tuner. Inapplicable, with the reason, where a part of the network says that it is ``untrainable``.
    """
    for part in model.modules():
        reason = getattr(part, "untrainable", None)
        if reason is not None:
            raise Inapplicable(str(reason))
    optimiser = lr if isinstance(lr, Optimiser) else Optimiser(lr, weight_decay=weight_decay)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.requires_grad_(True)
    devices = {value.device for value in before.values() if value.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(seed)
        train(model, batches, loss, optimiser)
    if not all(bool(value.isfinite().all()) for value in model.state_dict().values()):
        model.load_state_dict(before)
