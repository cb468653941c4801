"""What a network is to the host: a name, and how to build it for a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from tunebench.source import PluginFile


@dataclass(frozen=True)
class ModelSpec:
    """A network that can be built for any data set.

    ``build(shape, classes)`` takes the shape of one input, channels first, and returns an untrained module that maps
    (N, *shape) float32 to logits (N, classes).
    """

    name: str
    build: Callable[[tuple[int, ...], int], nn.Module]
    code: str | None = None
    """Digest of the code behind it; None for those whose architecture says all."""
    file: PluginFile | None = None
    """The user's file that it comes from, for workers to load it by value."""
