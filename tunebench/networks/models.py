"""Networks by name: ``model1``, ``lenet``, ``mlp:W1-W2-...``, plugins' and the user's (docs/methods.md, section 1)."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import replace

from torch import nn

from tunebench.errors import UsageError
from tunebench.naming import cut, spelt_out, unknown_name
from tunebench.networks.catalog import from_file, from_torchvision, torchvision_names
from tunebench.networks.spec import LIGHT
from tunebench.networks.spec import PAPER_WIDTHS as PAPER_WIDTHS
from tunebench.networks.spec import ModelSpec as ModelSpec
from tunebench.plugins import Registry
from tunebench.source import PluginFile

MOST_PARAMETERS = 10**8
"""Of an ``mlp:``, between its hidden layers: 400 MB, a thousand times the published networks."""
SMALLEST, ENLARGED = 12, 16
"""Sides in pixels that `lenet` needs, and to which it enlarges smaller ones."""
LIBRARIES = ("torch", "torchvision")
"""Where a plugin may take a network from whose code is no part of a key: too large to read, known by its version."""


def mlp(widths: Iterable[int], shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """A fully connected network with ReLU hidden layers of the given widths."""
    sizes = [math.prod(shape), *widths]
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))


def lenet(shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """LeNet-5 with ReLU and max pooling for images ``shape``; smaller ones than it can halve twice are enlarged."""
    if len(shape) != 3:
        raise UsageError(f"lenet needs images (channels, height, width), not inputs of shape {shape}")
    channels, *size = shape
    small = min(size) < SMALLEST
    height, width = (max(side, ENLARGED) if small else side for side in size)
    pooled = math.prod((side // 2 - 4) // 2 for side in (height, width))
    return nn.Sequential(
        *([nn.Upsample((height, width), mode="bilinear")] if small else []),
        nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        *mlp((120, 84), (16, pooled), classes),
    )  # fmt: skip


def find_model(name: str, extra: Iterable[ModelSpec] = (), file: PluginFile | None = None) -> ModelSpec:
    """The network called ``name``: bundled, of a plugin, ``torchvision:NAME`` or ``FILE.py:NAME``.

    ``file`` is the content of FILE.py where that has been read already. UsageError with the nearest names when there
    is none.
    """
    plugins = {spec.name: spec for spec in extra}
    if name in plugins:
        return plugins[name]
    if ".py:" in name or name.endswith(".py"):
        return from_file(name, file)
    if name == "lenet":
        return ModelSpec(name, lenet, recipe="light")
    if name in LIGHT:
        return replace(from_torchvision(f"torchvision:{name}"), name=name)
    if name.startswith("torchvision:"):
        return from_torchvision(name)
    widths = PAPER_WIDTHS.get(name)
    if name.startswith("mlp:"):
        if not re.fullmatch(r"mlp:[1-9]\d*(-[1-9]\d*)*", name):
            raise UsageError(f"model {name!r}: write the hidden widths as in mlp:100-64")
        widths = tuple(int(width) for width in name.removeprefix("mlp:").split("-"))
        if max(widths) + sum(a * b for a, b in itertools.pairwise(widths)) > MOST_PARAMETERS:
            raise UsageError(
                f"model {cut(name, 60)!r} has more than {MOST_PARAMETERS:,} parameters; write smaller widths"
            )
    if widths is None:
        known = [*PAPER_WIDTHS, *LIGHT, *plugins, "mlp:100-64", "torchvision:resnet18", "FILE.py:NAME"]
        raise unknown_name("model", name, known)
    return ModelSpec(name, lambda shape, classes: mlp(widths, shape, classes))


def expand_models(patterns: Iterable[str], extra: Iterable[str] = ()) -> list[str]:
    """Names of networks for names and globs of bundled ones and ``extra``; UsageError for a glob without a match.

    ``torchvision:mobilenet*`` is a glob of torchvision's.
    """
    asked = list(patterns)
    theirs = torchvision_names() if any(pattern.startswith("torchvision:") for pattern in asked) else []
    known = [*PAPER_WIDTHS, *LIGHT, *extra, *(f"torchvision:{name}" for name in theirs)]
    return spelt_out(asked, known, lambda pattern: unknown_name("model", pattern, known))


def offered_models(registry: Registry) -> dict[str, ModelSpec]:
    """The networks of all plugins by name, each with the digest of its code."""
    found = {}
    for plugin, spec in registry.offered_by_name("tunebench_models"):
        if isinstance(spec, ModelSpec):
            module = getattr(spec.build, "__module__", None) or "torch"
            own = [] if module.partition(".")[0] in LIBRARIES else [module]
            found[spec.name] = replace(spec, code=registry.digest_of(plugin, *own), owners=(plugin,))
        else:
            registry.report(plugin, f"tunebench_models() returned {type(spec).__name__}, not a ModelSpec")
    return found
