"""Hidden units of any network: where its activation functions fire, and what its output layer reads.

A *site* is the output of an activation function during a forward, called as a module, a function or a tensor method
alike, or the input of the output layer. One `torch.overrides.TorchFunctionMode` around the forward sees them all
(docs/methods.md, section 7).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from tunebench.errors import UsageError

MAX_HIDDEN = 1024
"""Hidden units of a task, counted from the output back."""
BATCH_BYTES, BATCH_ROWS = 2**25, 10_000
"""Limits of a batch: bytes of the largest tensor in a forward, and rows."""
NAMES = (
    "relu", "relu6", "hardtanh", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu", "hardswish",
    "hardsigmoid", "mish", "softplus", "softsign", "tanh", "sigmoid", "logsigmoid",
)  # fmt: skip
ACTIVATIONS = frozenset(
    getattr(place, name)
    for name in (*NAMES, *(f"{name}_" for name in NAMES))
    for place in (F, torch, Tensor)
    if hasattr(place, name)
)
CONVOLUTIONS = frozenset({F.conv1d, F.conv2d, F.conv3d})
WEIGHTED = frozenset({F.linear, *CONVOLUTIONS})
Handler = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


@dataclass(frozen=True)
class Site:
    """Where hidden units are read in a forward.

    ``call`` counts the calls of activation functions, or those of `WEIGHTED` functions where ``head`` says that the
    call is the output layer's, whose input is meant. ``axis`` is the one of the features; all axes but it and the
    first are averaged.
    """

    call: int
    head: bool
    axis: int
    units: int


@dataclass(frozen=True)
class OutputLayer:
    """The layer whose (averaged) output is the logits, by the names of its parameters; its weight is (C, D, ...)."""

    weight: str
    bias: str | None


@dataclass(frozen=True)
class Anatomy:
    """What tunebench knows about a network: its sites in the order of the forward, and its output layer.

    ``output`` is None where no parameters can be edited to change the logits by what an edit says: there is no Linear
    or pooled 1 x 1 convolution at the end, its weight is computed or used elsewhere too, or something follows it.
    ``rows`` is the size of a batch that keeps to the limits.
    """

    sites: tuple[Site, ...]
    output: OutputLayer | None
    rows: int = BATCH_ROWS

    @property
    def hidden(self) -> int:
        """H, the number of hidden units of all sites."""
        return sum(site.units for site in self.sites)

    @property
    def last(self) -> int:
        """Units that the output layer reads: a weight from there edits an existing one. 0 without such a layer."""
        return self.sites[-1].units if self.output is not None and self.sites and self.sites[-1].head else 0

    @cached_property
    def layer_of(self) -> Tensor:
        """Number of the site, counted from 0, of every hidden unit, (H,) int64."""
        widths = torch.tensor([site.units for site in self.sites], dtype=torch.int64)
        return torch.repeat_interleave(torch.arange(len(self.sites)), widths)


class Watch(TorchFunctionMode):
    """While open, hands every torch function call to ``handler(function, args, kwargs)``, which has to make it.

    What a function calls in turn is not seen, so that functions that call each other count once.
    """

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self.handler = handler

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """See `TorchFunctionMode`."""
        return self.handler(func, args, kwargs or {})


class Reader:
    """Makes every call of a forward, and hands the units of ``sites`` to ``take(place, (N, units))`` as they come."""

    def __init__(self, sites: Sequence[Site], take: Callable[[int, Tensor], None]) -> None:
        self.wanted = {(site.head, site.call): (place, site) for place, site in enumerate(sites)}
        self.take = take
        self.calls = {True: 0, False: 0}

    def __call__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of ``func``."""
        if func in WEIGHTED:
            self.count(True, args[0] if args else kwargs["input"])
        out = func(*args, **kwargs)
        if func in ACTIVATIONS:
            self.count(False, out)
        return out

    def count(self, head: bool, value: Tensor) -> None:
        """One more call of its kind."""
        wanted = self.wanted.get((head, self.calls[head]))
        self.calls[head] += 1
        if wanted is not None:
            place, site = wanted
            self.take(place, pooled(value, site.axis))


def pooled(value: Tensor, axis: int) -> Tensor:
    """The features of ``value`` (N, ...) along ``axis``, averaged over all other positions, (N, D)."""
    others = [k for k in range(1, value.dim()) if k != axis % value.dim()]
    return value.mean(others) if others else value


class Call(NamedTuple):
    """A call in a forward.

    Of an activation function, with its output as ``value``; or of a `WEIGHTED` one, with its input as ``value`` and the
    rest of what it was given. ``axis`` is the one of the features.
    """

    head: bool
    value: Tensor
    axis: int
    out: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None


def survey(model: nn.Module, shape: Sequence[int], max_hidden: int = MAX_HIDDEN) -> Anatomy:
    """The anatomy of ``model`` for inputs of ``shape``, channels first; leaves it in eval mode.

    Two small batches of noise tell which sites have the samples first. UsageError when the forwards of the two do not
    make the same calls.
    """
    model.eval()
    x = noise(model, shape, 3)
    fewer, _, _ = forward_calls(model, x[:2])
    calls, logits, largest = forward_calls(model, x)
    if [call.head for call in fewer] != [call.head for call in calls]:
        raise UsageError("the network's forward makes other calls for another number of samples; that cannot be tuned")
    rows = max(1, min(BATCH_ROWS, BATCH_BYTES // largest))
    activations = of_kind(calls, False)
    found = [
        Site(number, False, call.axis, call.value.shape[call.axis])
        for number, (call, other) in enumerate(zip(activations, of_kind(fewer, False), strict=True))
        if per_sample(call, other) and not same(call, logits)
    ]
    head = output_call(of_kind(calls, True), logits)
    if head is None:
        return Anatomy(nearest(found, max_hidden), None, rows)
    number, call, exact = head
    output = parameters(model, call, calls) if exact else None
    if not found and torch.equal(call.value.flatten(), x.flatten()):
        return Anatomy((), output, rows)  # a linear model: its inputs are no hidden units
    if found and same(activations[found[-1].call], pooled(call.value, call.axis)):
        found.pop()
    found.append(Site(number, True, call.axis, call.value.shape[call.axis]))
    return Anatomy(nearest(found, max_hidden), output, rows)


def per_sample(call: Call, fewer: Call) -> bool:
    """Whether the first axis of a call's value, for 3 and for 2 samples, is that of the samples."""
    value, other = call.value, fewer.value
    return value.dim() > 1 and value.shape[1:] == other.shape[1:] and (len(value), len(other)) == (3, 2)


def nearest(sites: Sequence[Site], most: int) -> tuple[Site, ...]:
    """Whole sites from the output back while they have at most ``most`` units; the last one in any case."""
    kept = len(sites)
    total = 0
    while kept and (total == 0 or total + sites[kept - 1].units <= most):
        kept -= 1
        total += sites[kept].units
    return tuple(sites[kept:])


def forward_calls(model: nn.Module, x: Tensor) -> tuple[list[Call], Tensor, int]:
    """All calls of a forward, its logits, and the bytes per sample of its largest tensor."""
    calls: list[Call] = []
    largest = x.numel() * x.element_size()
    features_last = False

    def watch(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        nonlocal largest, features_last
        given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
        value = given["input"].clone() if func in WEIGHTED else None  # something may write over it later
        out = func(*args, **kwargs)
        if not isinstance(out, Tensor):
            return out
        largest = max(largest, out.numel() * out.element_size())
        if value is not None:
            features_last = func not in CONVOLUTIONS
            axis = -1 if features_last else 1
            calls.append(Call(True, value, axis, out.clone(), given["weight"], given.get("bias")))
        elif func in ACTIVATIONS:
            # what comes from a Linear layer has its features last, and so have tokens
            axis = -1 if features_last or out.dim() == 2 else 1
            calls.append(Call(False, out.clone(), axis, out))
        return out

    with torch.no_grad(), Watch(watch):
        logits = model(x)
    return calls, logits, -(-largest // len(x))


def of_kind(calls: Iterable[Call], head: bool) -> list[Call]:
    """The calls of weighted functions, or those of activation functions."""
    return [call for call in calls if call.head is head]


def output_call(calls: Sequence[Call], logits: Tensor) -> tuple[int, Call, bool] | None:
    """Number and call of the output layer among the ``calls`` of weighted functions, or None.

    The last item says whether the logits are its output as it is: not so where an activation function follows.
    """
    for number in reversed(range(len(calls))):
        call = calls[number]
        for exact, out in ((True, call.out), (False, call.out.relu())):
            if out.dim() > 1 and out.shape[call.axis] == logits.shape[-1] and close(pooled(out, call.axis), logits):
                return (number, call, exact) if pointwise(call) else None
    return None


def pointwise(call: Call) -> bool:
    """Whether a weighted call is a Linear layer, or a convolution that is one at every position."""
    assert call.weight is not None
    return call.weight.flatten(1).shape[1] == call.value.shape[call.axis]


def parameters(model: nn.Module, head: Call, calls: Iterable[Call]) -> OutputLayer | None:
    """The names of the output layer's own parameters; None where they are computed, or used elsewhere too."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    uses = sum(call.weight is head.weight for call in calls)
    weight = names.get(id(head.weight))
    bias = None if head.bias is None else names.get(id(head.bias))
    if weight is None or uses > 1 or (head.bias is not None and bias is None):
        return None
    return OutputLayer(weight, bias)


def same(call: Call, value: Tensor) -> bool:
    """Whether the pooled output of an activation function is ``value`` (N, D)."""
    return call.value.dim() > 1 and close(pooled(call.value, call.axis), value)


def close(a: Tensor, b: Tensor) -> bool:
    """Equal up to rounding, and of one shape."""
    if a.shape != b.shape:
        return False
    tolerance = max(1e-4, 8 * torch.finfo(b.dtype).eps)
    return torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance / 100)


def noise(model: nn.Module, shape: Sequence[int], rows: int) -> Tensor:
    """Inputs (rows, *shape) to look at a network with, always the same, of its own dtype and on its device."""
    values = torch.randn(rows, *shape, generator=torch.Generator().manual_seed(0))
    like = first_float(model)
    return values if like is None else values.to(like)


def first_float(model: nn.Module) -> Tensor | None:
    """A floating point parameter or buffer of ``model``: its dtype and device are those of its inputs."""
    tensors = (t for t in (*model.parameters(), *model.buffers()) if not is_lazy(t))
    return next((t for t in tensors if t.is_floating_point()), None)
