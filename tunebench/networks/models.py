"""Networks by name: ``model1``, ``model2``, ``mlp:W1-W2-...`` and whatever plugins add (docs/methods.md, section 1)."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn

from tunebench.errors import UsageError
from tunebench.naming import unknown_name

PAPER_WIDTHS = {"model1": (100, 64), "model2": (128, 96, 64)}


@dataclass(frozen=True)
class ModelSpec:
    """A network that can be built for any data set.

    ``build(shape, classes)`` takes the shape of one input, channels first, and returns an untrained module that maps
    (N, *shape) float32 to logits (N, classes). Its hidden units are the (N, H) outputs of its `torch.nn.ReLU`
    modules.
    """

    name: str
    build: Callable[[tuple[int, ...], int], nn.Module]


def mlp(widths: Iterable[int], shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """A fully connected network with ReLU hidden layers of the given widths."""
    sizes = [math.prod(shape), *widths]
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))


def find_model(name: str, extra: Iterable[ModelSpec] = ()) -> ModelSpec:
    """The network called ``name``; UsageError with the nearest names when there is none."""
    plugins = {spec.name: spec for spec in extra}
    if name in plugins:
        return plugins[name]
    widths = PAPER_WIDTHS.get(name)
    if name.startswith("mlp:"):
        if not re.fullmatch(r"mlp:[1-9]\d*(-[1-9]\d*)*", name):
            raise UsageError(f"model {name!r}: write the hidden widths as in mlp:100-64")
        widths = tuple(int(width) for width in name.removeprefix("mlp:").split("-"))
    if widths is None:
        raise unknown_name("model", name, [*PAPER_WIDTHS, *plugins, "mlp:100-64"])
    return ModelSpec(name, lambda shape, classes: mlp(widths, shape, classes))
