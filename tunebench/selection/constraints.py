"""What a user forbids, whatever the budget: protected classes, layers without synapses, bounds on what is added.

A suite names them (`LIMITS`), `SearchOptions` and every cell's key hold them, the task tells them to tuners, and the
selector adopts nothing that breaks one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tunebench.errors import UsageError
from tunebench.tuner import MAX_STEPS, LogitEdit, TuningTask

if TYPE_CHECKING:
    from tunebench.selection.selector import SearchOptions

ROUNDING = 1e-6
"""Relative, of a weight that is as large as it may be: it is kept in float32."""
LIMITS = ("max_steps", "protect", "synapse_layers", "max_new_params", "max_weight")
"""Their names in a suite, in the options of a search, as attributes of a task and in `Tuner.honours`."""
ALL_LAYERS = "all"
LAYERS = re.compile(r"(not )?(-?\d{1,6}(?:,-?\d{1,6})*)", re.ASCII)
MOST_STEPS, MOST_PARAMS, LARGEST_WEIGHT = 10**7, 10**12, 1e9
Protected = tuple[tuple[int, float], ...]
"""Classes and the percentage points of recall that each may lose."""


def check_limits(limits: Mapping[str, Any]) -> None:
    """UsageError for a limit out of range; ``limits`` has some of `LIMITS`, classes unresolved and unchecked."""
    steps, params, weight = limits.get("max_steps"), limits.get("max_new_params"), limits.get("max_weight")
    if steps is not None and not 1 <= steps <= MOST_STEPS:
        raise UsageError(f"max_steps is {steps}; give at least 1 and at most {MOST_STEPS:,} training steps")
    if params is not None and not 0 <= params <= MOST_PARAMS:
        raise UsageError(f"max_new_params is {params}; give 0 or more non-zero parameters that may be added")
    if weight is not None and not 0 < weight <= LARGEST_WEIGHT:
        raise UsageError(
            f"max_weight is {weight}; give the largest size of a new weight, above 0 and at most {LARGEST_WEIGHT:g}"
        )
    layers = limits.get("synapse_layers", ALL_LAYERS)
    if layers != ALL_LAYERS and not LAYERS.fullmatch(layers):
        raise UsageError(
            f"synapse_layers is {layers!r}; name hidden layers counted from 0, or from the last by -1, such as "
            f"'0,1', '-1' or 'not 0', or {ALL_LAYERS!r}"
        )


def stated(limits: Mapping[str, Any]) -> str:
    """What the limits of a suite, or of a lock, forbid: ``max_steps 50; protect 3:0.5, 5``. Empty for nothing."""
    free = {"max_steps": MAX_STEPS, "synapse_layers": ALL_LAYERS}
    given = {name: limits.get(name) for name in LIMITS if limits.get(name) not in (None, free.get(name))}
    texts = {name: ", ".join(value) if isinstance(value, list | tuple) else f"{value}" for name, value in given.items()}
    return "; ".join(f"{name} {text}" for name, text in texts.items() if text)


def layers_of(text: str, count: int) -> tuple[int, ...]:
    """The hidden layers of ``count`` that may receive synapses; UsageError for one that there is not."""
    match = LAYERS.fullmatch(text)
    if match is None:
        return tuple(range(count))
    named = [int(part) for part in match[2].split(",")]
    for layer in named:
        if not -count <= layer < count:
            has = f"hidden layers 0 to {count - 1}" if count else "no hidden layer"
            raise UsageError(f"synapse_layers names layer {layer}; the network has {has}")
    chosen = {layer % count for layer in named}
    return tuple(layer for layer in range(count) if (layer in chosen) != bool(match[1]))


def protected_of(text: str) -> Protected:
    """Classes and points of a text such as ``3:0.5,7:0``, as the options of a search hold them."""
    pairs = [part.split(":") for part in text.split(",") if part]
    return tuple((int(number), float(points)) for number, points in pairs)


def protect_text(protected: Mapping[int, float]) -> str:
    """The text that `protected_of` reads: one for one meaning."""
    return ",".join(f"{number}:{points:g}" for number, points in sorted(protected.items()))


def misfit(task: TuningTask, options: SearchOptions) -> str | None:
    """Why the network cannot keep the limits of ``options``: it lacks a layer that they name. Else None."""
    try:
        constrained(task, options)
    except UsageError as exc:
        return str(exc)
    return None


def constrained(task: TuningTask, options: SearchOptions) -> TuningTask:
    """The task with the limits of ``options``; UsageError where the network lacks a layer that they name."""
    count = int(task.layer_of.max()) + 1 if len(task.layer_of) else 0
    return replace(
        task,
        max_steps=options.max_steps,
        protect=protected_of(options.protect),
        synapse_layers=None if options.synapse_layers == ALL_LAYERS else layers_of(options.synapse_layers, count),
        max_new_params=options.max_new_params,
        max_weight=options.max_weight,
    )


def reach(edit: LogitEdit, task: TuningTask, added: int) -> float:
    """The largest multiple of ``edit``, which adds so many non-zero parameters, that keeps the task's limits.

    0 where none does: a layer gets a synapse that may not, or too much is added.
    """
    layers_kept = task.synapse_layers is None or not bool(edit.weight[:, ~task.may_join].any())
    if not layers_kept or (task.max_new_params is not None and added > task.max_new_params):
        return 0.0
    largest = float(edit.weight.abs().max()) if task.max_weight is not None and edit.weight.numel() else 0.0
    return task.max_weight / largest if task.max_weight is not None and largest else math.inf
