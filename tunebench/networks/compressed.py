"""Networks made from trained ones, ``MODEL+NAME`` and ``MODEL+NAME:VALUE``, in turn (docs/compression.md)."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model
from torch import Tensor, nn

from tunebench.compression import Compression, CompressionTask
from tunebench.datasets import Samples
from tunebench.errors import Inapplicable, UsageError
from tunebench.naming import said, unknown_name
from tunebench.networks.cost import count_flops
from tunebench.networks.models import find_model, offered_models
from tunebench.networks.probe import built, check_classifier
from tunebench.networks.sites import survey
from tunebench.networks.spec import Made, ModelSpec
from tunebench.plugins import Registry, version_of
from tunebench.source import PluginFile

WRITTEN = re.compile(r"(?P<base>.+)\+(?P<name>[A-Za-z][\w-]*)(?::(?P<value>.*))?", re.DOTALL)
"""The last compression of a name; a path may hold a ``+`` as well, but no name up to its end or a colon after it."""
EPOCHS, FEWEST, MOST = 3, 300, 2400
"""Passes over the training samples that a compression should take, and optimiser steps at least and at most."""
Shapes = Mapping[str, Sequence[Any]]
"""Type and shape of every tensor of a state dict, by name, as JSON values."""


def network_of(name: str, registry: Registry, file: PluginFile | None = None) -> ModelSpec:
    """The network called ``name``, as `find_model` knows it, or made from such a one by compressions.

    UsageError for a network or a compression that there is not, and for a value that it does not take.
    """
    offered = offered_models(registry)
    written = None if name in offered else WRITTEN.fullmatch(name)
    if written is None:
        return find_model(name, offered.values(), file)
    if written["name"] not in registry.compressions:
        raise unknown_name("compression", written["name"], registry.compressions)
    plugin, compression = registry.compressions[written["name"]]
    text, value = value_of(compression, written["value"])
    parent = network_of(written["base"], registry, file)
    others = {other: network_of(other, registry) for other in compression.networks(value)}
    facts = [
        compression.name,
        text,
        registry.digest_of(plugin, type(compression).__module__),
        {package: version_of(package) for package in compression.packages},
        {other: spec.code for other, spec in others.items()},
        [spec.made.digest for spec in others.values() if spec.made],
    ]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    owners = (*parent.owners, plugin, *(owner for spec in others.values() for owner in spec.owners))
    made = Made(parent, compression, value, digest, others)
    return ModelSpec(name, parent.build, parent.code, parent.file, parent.recipe, owners, made)


def value_of(compression: Compression, text: str | None) -> tuple[str | None, Any]:
    """The text of a compression's value, its default where there is none, and what it stands for."""
    if text is None:
        text = compression.default
    elif compression.default is None:
        raise UsageError(f"compression {compression.name!r} takes no value; write +{compression.name}")
    if text is None:
        return None, None
    try:
        return text, compression.read(text)
    except ValueError as exc:
        example = f"+{compression.name}:{compression.default}"
        raise UsageError(f"compression {compression.name}:{text}: {exc}; the default is {example}") from exc


def compress(made: Made, parent: nn.Module, samples: Samples, classes: int, seed: int) -> tuple[nn.Module, list[str]]:
    """The network that ``made`` makes of its trained ``parent``, in eval mode, and what the user should be told.

    Inapplicable where the network is not for it, or a package is missing. The global generators stay as they were.
    """
    missing = [package for package in made.compression.packages if version_of(package) is None]
    if missing:
        raise Inapplicable(f"{made.compression.name} needs {' and '.join(missing)}; pip install {' '.join(missing)}")
    shape = tuple(samples.x.shape[1:])
    task = task_of(made, copy.deepcopy(parent), samples, classes, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = made.compression.compress(task, made.value)
    check_classifier(model, made.compression.name, shape, classes)
    return model.eval(), task.notes


def task_of(made: Made, parent: nn.Module, samples: Samples, classes: int, seed: int) -> CompressionTask:
    """What a compression gets: the trained ``parent`` and its training samples."""
    shape = tuple(samples.x.shape[1:])
    output = survey(parent, shape).output
    return CompressionTask(
        model=parent.eval(),
        x=samples.x,
        y=samples.y,
        classes=classes,
        seed=seed,
        steps=steps_for(len(samples.y)),
        output=None if output is None else module_of(output.weight),
        flops=lambda model: count_flops(model.eval(), samples.x.new_zeros(1, *shape)),
        network=lambda name: built(made.networks[name], shape, classes),
    )


def steps_for(samples: int) -> int:
    """Optimiser steps that a compression may take, of batches of 64."""
    return max(FEWEST, min(EPOCHS * -(-samples // 64), MOST))


def module_of(parameter: str) -> str:
    """Name of the layer that has a parameter of that name, be it behind a parametrization."""
    return (
        parameter.partition(".parametrizations.")[0]
        if ".parametrizations." in parameter
        else parameter.rpartition(".")[0]
    )


def blank(
    spec: ModelSpec, base: nn.Module, states: Sequence[Mapping[str, Tensor]], shape: tuple[int, ...]
) -> nn.Module:
    """A network of the architecture of ``spec``, of whatever numbers, from the uncompressed one, ``base``.

    ``states`` are the state dicts, on the meta device, of all that was made on the way, the last one its own.
    """
    made = spec.made
    if made is None:
        return base
    parent = blank(made.parent, base, states[:-1], shape)
    nothing = Samples(torch.empty(0, *shape), torch.empty(0, dtype=torch.int64))
    task = task_of(made, parent, nothing, check_classifier(base, spec.name, shape), seed=0)
    return made.compression.rebuild(task, made.value, states[-1])


def loaded(
    spec: ModelSpec, base: nn.Module, before: Sequence[Shapes], weights: Path, shape: tuple[int, ...]
) -> nn.Module:
    """The network of ``spec`` with the numbers of a file, in eval mode; ``before`` as in `check_rebuilt`."""
    states = [on_meta(shapes) for shapes in [*before, shapes_of(load_file(weights))]]
    model = blank(spec, base, states, shape)
    load_model(model, weights)
    return model.eval()


def check_rebuilt(spec: ModelSpec, before: Sequence[Shapes], weights: Path, model: nn.Module, x: Tensor) -> None:
    """Inapplicable unless a network that is built anew, with the numbers of a file, says of x what ``model`` says.

    So does every cell get it. x is (N, *shape), on the device of the model; ``before`` are the shapes of what was made
    on the way. A network may hold what no state dict says: a buffer that is not kept, a setting that follows widths.
    """
    assert spec.made is not None
    shape, name = tuple(x.shape[1:]), spec.made.compression.name
    with torch.no_grad():
        expected = model(x)
    try:
        with torch.random.fork_rng(devices=[]):
            base = built(spec, shape, expected.shape[1])
        with torch.no_grad():
            found = loaded(spec, base, before, weights, shape).to(x.device)(x)
        same = torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    except Exception as exc:
        raise Inapplicable(f"what {name} makes of it cannot be built again from its weights ({said(exc)})") from exc
    if not same:
        raise Inapplicable(f"what {name} makes of it says something else when it is built again from its weights")


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, list[Any]]:
    """`Shapes` of a state dict."""
    return {name: [str(value.dtype).removeprefix("torch."), list(value.shape)] for name, value in state.items()}


def on_meta(shapes: Shapes) -> dict[str, Tensor]:
    """A state dict of such shapes without numbers."""
    return {
        name: torch.empty(shape, dtype=getattr(torch, kind), device="meta") for name, (kind, shape) in shapes.items()
    }
