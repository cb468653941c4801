"""What a network is to the host: a name, and how to build it for a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunebench.compression import Compression
from tunebench.source import PluginFile

if TYPE_CHECKING:
    from torch import nn

PAPER_WIDTHS = {"model1": (100, 64), "model2": (128, 96, 64)}
"""Hidden widths of the published networks (Xu & Wang 2026)."""


RECIPES = ("paper", "converged", "quick", "light")
LIGHT = {
    "lenet": "LeNet-5 with ReLU and max pooling, LeCun et al. 1998",
    "mobilenet_v2": "torchvision's, Sandler et al. 2018",
    "mobilenet_v3_small": "torchvision's, Howard et al. 2019",
    "shufflenet_v2_x0_5": "torchvision's, Ma et al. 2018",
    "squeezenet1_1": "torchvision's, Iandola et al. 2016",
}
"""Networks that are light by design."""


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
    recipe: str | None = None
    """The recipe that trains it to the end, and by default; None: what the data set or the suite says."""
    owners: tuple[str, ...] = ()
    """Names of the plugins that it comes from."""
    made: Made | None = None
    """How it is made, where it is made from another one."""


@dataclass(frozen=True)
class Made:
    """How a network is made from a trained one: by a compression, with a value that it takes."""

    parent: ModelSpec
    compression: Compression
    value: Any
    digest: str
    """Of the compression's name, value, code and packages."""
    networks: Mapping[str, ModelSpec] = field(default_factory=dict)
    """Other networks that the value names."""
