"""What a network costs: parameters, FLOPs and bytes by counting (docs/methods.md, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.utils.flop_counter import FlopCounterMode

from tunebench.networks.sites import ACTIVATIONS, WEIGHTED, Anatomy, Watch, first_float
from tunebench.networks.storage import stored, unseen
from tunebench.tuner import LogitEdit

TRANSPOSED = frozenset({F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d})
CELLS = frozenset({torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell})
RECURRENT = frozenset({torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu})
PRODUCTS = frozenset(
    {
        torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm, torch.bmm, Tensor.bmm, torch.addmm,
        torch.baddbmm, torch.einsum, F.scaled_dot_product_attention, F.multi_head_attention_forward,
    }
)  # fmt: skip
"""Products without weights of their own, or with some that are not told apart: counted densely, by torch."""


class Cost(NamedTuple):
    """Counts under the conventions of docs/methods.md, section 3.

    ``params`` and ``flops`` are of the logical network, ``params_paper`` charges 1 for every synapse as the paper
    does, ``*_stored`` count the network that is exported and ``bytes`` what its parameters and buffers take.
    """

    params: int
    flops: int
    params_paper: int
    params_stored: int
    flops_stored: int
    bytes: int


def count_params(model: nn.Module) -> int:
    """Non-zero parameters as they are computed with, also those that a part holds in another form.

    That is what a parametrization makes of a parameter, and what torch does not see (see `networks.storage`).
    """
    forms = [part for part in model.modules() if isinstance(part, ParametrizationList) and hasattr(part, "original")]
    made = {id(part.original): part() for part in forms}
    return sum(int(torch.count_nonzero(made.get(id(p), p))) for p in model.parameters()) + unseen(model, "params")


def count_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and buffers as they are stored, each counted once."""
    return sum(t.numel() * t.element_size() for t in stored(model).values())


def count_flops(model: nn.Module, x: Tensor) -> int:
    """Floating point operations for one input: multiply-accumulates, biases, and 1 for every unit that is activated.

    Of Linear and convolutional layers the non-zero weights and biases count, at every output position, and of
    activation functions the units with a non-zero incoming parameter. A recurrent layer counts its non-zero weights
    and biases at every step, attention its products as `torch.utils.flop_counter` does. Normalisation, pooling and
    additions are not counted. A network with scripted parts, whose calls cannot be seen, is counted densely by torch:
    its products alone. What a part computes beside torch it says itself (see
    `networks.storage`). ``x`` is one input batch (1, *shape), needed for the shapes alone.
    """
    like = first_float(model)
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        with torch.no_grad(), FlopCounterMode(display=False) as dense:
            model(x if like is None else x.to(like))
        return int(dense.get_total_flops()) // 2
    counter = Counter()
    with torch.no_grad(), Watch(counter):
        model(x if like is None else x.to(like))
    return counter.total + unseen(model, "flops")


class Counter:
    """Makes every call of a forward of one sample and adds up what it costs."""

    def __init__(self) -> None:
        self.total = 0
        self.alive: Tensor | None = None
        """Which outputs (C,) of the last weighted layer have a non-zero parameter."""

    def __call__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of ``func``."""
        if func in PRODUCTS:
            with FlopCounterMode(display=False) as counter:
                out = func(*args, **kwargs)
            self.total += counter.get_total_flops() // 2  # torch counts a multiply-accumulate as two
            return out
        out = func(*args, **kwargs)
        if func in WEIGHTED or func in TRANSPOSED:
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
            self.weighted(given["input"], given["weight"], given.get("bias"), out, func in TRANSPOSED)
        elif func in RECURRENT:
            steps = args[0].shape[1 if args[-1] is True else 0]
            self.total += steps * sum(int(torch.count_nonzero(weight)) for weight in args[2])
        elif func in CELLS:
            self.total += sum(int(torch.count_nonzero(weight)) for weight in args[2:] if isinstance(weight, Tensor))
        elif func in ACTIVATIONS:
            self.total += self.activated(out.numel())
        return out

    def activated(self, units: int) -> int:
        """How many of ``units`` that pass an activation function have a non-zero incoming parameter."""
        if self.alive is None or units % len(self.alive):
            return units
        return int(self.alive.sum()) * (units // len(self.alive))

    def weighted(self, given: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor, transposed: bool) -> None:
        """A Linear or convolutional layer."""
        used = weight.ne(0)
        fan_out = out.shape[1] if weight.dim() > 2 else weight.shape[0]
        positions = out.numel() // fan_out
        places = given.numel() // weight.shape[0] if transposed else positions
        biased = torch.zeros(fan_out, dtype=torch.bool, device=used.device) if bias is None else bias.ne(0)
        self.total += places * int(used.sum()) + positions * int(biased.sum())
        self.alive = torch.ones_like(biased) if transposed else used.flatten(1).any(1) | biased


def cost_of_module(model: nn.Module, x: Tensor) -> Cost:
    """Cost of a plain module; ``x`` (1, *shape) gives the input's shape."""
    params, flops = count_params(model), count_flops(model, x)
    return Cost(params, flops, params, params, flops, count_bytes(model))


def cost_of_edit(model: nn.Module, edit: LogitEdit, folded: nn.Module, x: Tensor, anatomy: Anatomy) -> Cost:
    """Cost of ``model``, whose `survey` is ``anatomy``, with ``edit`` on top, given the ``folded`` exported network.

    A weight from the units that the output layer reads and a bias are edits of existing parameters; every other
    non-zero weight is a new skip synapse: one parameter, one multiply-accumulate.
    """
    base, stored = cost_of_module(model, x), cost_of_module(folded, x)
    skips, edits = count_synapses(edit, anatomy)
    params = base.params + added_params(model, edit, anatomy)
    return Cost(
        params=params,
        flops=base.flops + params - base.params,
        params_paper=base.params + skips + edits,
        params_stored=stored.params,
        flops_stored=stored.flops,
        bytes=stored.bytes,
    )


def added_params(model: nn.Module, edit: LogitEdit, anatomy: Anatomy) -> int:
    """Non-zero parameters that ``edit`` adds to the logical, unfolded network."""
    skips, _ = count_synapses(edit, anatomy)
    output = anatomy.output
    if output is None:
        return skips
    change = gained(model.get_parameter(output.weight), edit.weight[:, anatomy.hidden - anatomy.last :])
    return skips + change + (0 if output.bias is None else gained(model.get_parameter(output.bias), edit.bias))


def count_synapses(edit: LogitEdit, anatomy: Anatomy) -> tuple[int, int]:
    """How many non-zero weights of ``edit`` leave earlier sites, and how many the units that the output layer reads."""
    nonzero = edit.weight.ne(0)
    split = anatomy.hidden - anatomy.last
    return int(nonzero[:, :split].sum()), int(nonzero[:, split:].sum())


def gained(parameter: Tensor, addition: Tensor) -> int:
    """Change of the number of non-zero entries when ``addition``, if it is not empty, goes into ``parameter``."""
    if not addition.numel():
        return 0
    before = parameter.detach()
    after = before + addition.to(before).view_as(before)
    return int(torch.count_nonzero(after)) - int(torch.count_nonzero(before))
