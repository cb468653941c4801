"""What a network costs: parameters and FLOPs by counting, latency by timing (docs/methods.md, sections 1, 3 and 5)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tunebench.networks.activations import recorded
from tunebench.tuner import LogitEdit


class Cost(NamedTuple):
    """Counts under the conventions of docs/methods.md, section 3.

    ``params`` and ``flops`` are of the logical network, ``params_paper`` charges 1 for every synapse as the paper
    does, ``*_stored`` count the network that is exported.
    """

    params: int
    flops: int
    params_paper: int
    params_stored: int
    flops_stored: int


def count_params(model: nn.Module) -> int:
    """Non-zero parameters."""
    return sum(int(torch.count_nonzero(p)) for p in model.parameters())


def count_flops(model: nn.Module, x: Tensor) -> int:
    """Floating point operations for one input: the multiply-accumulates and biases of every layer, 1 per ReLU unit.

    Of a Linear layer only non-zero weights and biases count, and only ReLU units with a non-zero incoming parameter.
    A convolution counts its non-zero weights at every output position. ``x`` is one input batch (1, *shape), needed
    for the shapes alone.
    """
    total = 0
    alive: Tensor | None = None

    def visit(module: nn.Module, _args: object, out: Tensor) -> None:
        nonlocal total, alive
        if isinstance(module, nn.Linear | nn.Conv2d):
            positions = out.numel() // (out.shape[0] * module.weight.shape[0])
            used = module.weight.flatten(1).ne(0)
            bias = module.bias.ne(0) if module.bias is not None else used.new_zeros(len(used))
            total += positions * (int(used.sum()) + int(bias.sum()))
            alive = used.any(1) | bias
        elif isinstance(module, nn.ReLU):
            units = out.numel() // out.shape[0]
            share = int(alive.sum()) * (units // len(alive)) if alive is not None else units
            total += share

    handles = [m.register_forward_hook(visit) for m in model.modules() if not list(m.children())]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return total


def cost_of_module(model: nn.Module, x: Tensor) -> Cost:
    """Cost of a plain module; ``x`` (1, *shape) gives the input's shape."""
    params, flops = count_params(model), count_flops(model, x)
    return Cost(params, flops, params, params, flops)


def cost_of_edit(model: nn.Module, edit: LogitEdit, folded: nn.Module, x: Tensor) -> Cost:
    """Cost of ``model`` with ``edit`` on top, given the ``folded`` network that is exported.

    A weight from the last hidden layer and a bias are edits of existing parameters; every other non-zero weight is a
    new skip synapse: one parameter, one multiply-accumulate.
    """
    base, stored = cost_of_module(model, x), cost_of_module(folded, x)
    last = last_width(model, x)
    skips, edits = count_synapses(edit, last)
    params = base.params + added_params(model, edit, last)
    return Cost(
        params=params,
        flops=base.flops + params - base.params,
        params_paper=base.params + skips + edits,
        params_stored=stored.params,
        flops_stored=stored.flops,
    )


def added_params(model: nn.Module, edit: LogitEdit, last: int) -> int:
    """Non-zero parameters that ``edit`` adds to the logical, unfolded network; ``last`` is the last hidden width."""
    skips, edits = count_synapses(edit, last)
    merged = merged_output(model, edit, last)
    return skips + (edits if merged is None else merged)


def count_synapses(edit: LogitEdit, last: int) -> tuple[int, int]:
    """How many non-zero weights of ``edit`` leave earlier hidden layers, and how many the last one."""
    nonzero = edit.weight.ne(0)
    split = edit.weight.shape[1] - last
    return int(nonzero[:, :split].sum()), int(nonzero[:, split:].sum())


def merged_output(model: nn.Module, edit: LogitEdit, last: int) -> int | None:
    """Change of the output layer's non-zero count when the edit's last-layer weights and bias go into it.

    None when the model does not end in a Linear layer fed by the last hidden layer: there is nothing to merge into.
    """
    output = output_layer(model)
    if output is None or output.in_features != last or last == 0:
        return None
    extra = edit.weight[:, edit.weight.shape[1] - last :].to(output.weight.dtype)
    weight = output.weight.detach()
    change = int(torch.count_nonzero(weight + extra)) - int(torch.count_nonzero(weight))
    if output.bias is not None:
        bias = output.bias.detach()
        change += int(torch.count_nonzero(bias + edit.bias.to(bias.dtype))) - int(torch.count_nonzero(bias))
    return change


def output_layer(model: nn.Module) -> nn.Linear | None:
    """The Linear layer that a (nested) Sequential ends in; None where registration order does not prove it."""
    while type(model) is nn.Sequential and len(model):
        model = model[-1]
    return model if type(model) is nn.Linear else None


def last_width(model: nn.Module, x: Tensor) -> int:
    """Number of units of the last hidden layer."""
    with torch.no_grad(), recorded(model) as layers:
        model(x)
    return layers[-1].shape[1] if layers else 0
