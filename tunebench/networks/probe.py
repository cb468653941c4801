"""Is it a classifier for this data? Built, run once and looked at before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tunebench.errors import UsageError
from tunebench.naming import said
from tunebench.networks.models import ModelSpec
from tunebench.networks.sites import noise


def built(spec: ModelSpec, shape: Sequence[int], classes: int) -> nn.Module:
    """The network of ``spec`` for inputs of ``shape``, channels first, its lazy parts initialised by one forward.

    UsageError, one line, when it cannot be built or is no classifier of ``classes`` classes for such inputs.
    """
    try:
        model = spec.build(tuple(shape), classes)
    except UsageError:
        raise
    except Exception as exc:
        raise UsageError(f"network {spec.name!r} cannot be built for inputs of {sizes(shape)}: {said(exc)}") from exc
    if not isinstance(model, nn.Module):
        raise UsageError(f"network {spec.name!r}: build() returned {type(model).__name__}; return a torch.nn.Module")
    check_classifier(model, spec.name, shape, classes)
    return model


def check_classifier(model: nn.Module, name: str, shape: Sequence[int], classes: int | None = None) -> int:
    """The number of classes C of ``model``; UsageError, one line, unless it maps inputs (N, *shape) to logits (N, C).

    They have to be finite, and of ``classes`` classes where that is given. One forward of two samples of noise in
    eval mode, which also gives lazy modules their shapes.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits = model(noise(model, shape, 2))
    except Exception as exc:
        why = needs(model, shape, exc)
        raise UsageError(f"network {name!r} does not take inputs of {sizes(shape)}: {why}") from exc
    finally:
        model.train(training)
    fault = logits_fault(logits, classes)
    if fault:
        raise UsageError(f"network {name!r} {fault}")
    return int(logits.shape[1])


def logits_fault(logits: object, classes: int | None) -> str | None:
    """What makes the output for two samples unfit as logits, or None."""
    wanted = "C" if classes is None else classes
    if not isinstance(logits, Tensor):
        return f"returns a {type(logits).__name__}; let forward() return one tensor of logits (N, {wanted})"
    if logits.dim() != 2 or len(logits) != 2 or (classes is not None and logits.shape[1] != classes):
        return f"returns {tuple(logits.shape)} for two samples of {wanted} classes; it needs logits (N, {wanted})"
    if not logits.is_floating_point():
        return f"returns {logits.dtype}; logits have to be floating point"
    if not bool(torch.isfinite(logits).all()):
        return "gives NaN or infinite logits; look at its initialisation and its weights"
    return None


def needs(model: nn.Module, shape: Sequence[int], exc: Exception) -> str:
    """Why a forward failed, in words where the reason is a common one."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d)), None)
    if first is not None and not is_lazy(first.weight) and len(shape) > 1 and first.in_channels != shape[0]:
        kind = {1: "grey images", 3: "colour images"}.get(shape[0], f"{shape[0]} channels")
        return f"it needs {first.in_channels} input channels, these are {kind} with {shape[0]}"
    text = said(exc)
    if isinstance(exc, TypeError) and "positional argument" in text:
        return f"forward() has to take one tensor alone ({text})"
    return f"{text}; it may need another input size"


def sizes(shape: Sequence[int]) -> str:
    """A shape in words: ``1 x 28 x 28``."""
    return " x ".join(map(str, shape))
