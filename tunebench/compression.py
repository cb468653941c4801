"""What an author of compressions needs: `Compression`, and the `CompressionTask` that it gets (docs/compression.md).

Nothing here imports torch, as in `tunebench.tuner`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class CompressionTask:
    """One trained network and the samples that it was trained on; no validation sample, no test sample."""

    model: nn.Module
    """The trained network in eval mode, a copy that a compression may change."""
    x: Tensor
    """Normalised inputs, (N, *shape) float32."""
    y: Tensor
    """Labels, (N,) int64."""
    classes: int
    seed: int
    """Every random choice starts from it."""
    steps: int
    """What a compression should spend: optimiser steps of 64 samples, or as much time as they would take."""
    output: str | None
    """Name of the layer whose outputs are the logits; None where there is none that can be told."""
    flops: Callable[[nn.Module], int]
    """What tunebench counts for one input: operations with non-zero weights."""
    network: Callable[[str], nn.Module]
    """Any other network by name, untrained, for these inputs and classes."""
    notes: list[str] = field(default_factory=list)
    """What the user should be told: one line each, shown by every run."""


class Compression:
    """A way to make a trained network smaller or cheaper; subclass it, name it, write `compress`."""

    name: str = ""
    """A slug, unique among all plugins."""
    summary: str = ""
    """One sentence; the first line of the class docstring where it is empty."""
    default: str | None = None
    """The value where the user writes none; None where there is nothing to choose."""
    packages: tuple[str, ...] = ()
    """Distributions that it needs beside tunebench's own: their versions are part of the keys, and where one is missing
    the cells are skipped with a line that says what to install.
    """

    def read(self, text: str) -> Any:
        """The value that ``text`` stands for; ValueError, in words, for one that cannot be."""
        return text

    def networks(self, value: Any) -> tuple[str, ...]:
        """Names of other networks that ``value`` names: they are looked up before anything is computed."""
        return ()

    def compress(self, task: CompressionTask, value: Any) -> nn.Module:
        """The compressed network; `tunebench.Inapplicable`, with the reason, where ``task.model`` is not for it."""
        raise NotImplementedError(f"compression {self.name!r} does not define compress()")

    def rebuild(self, task: CompressionTask, value: Any, state: Mapping[str, Tensor]) -> nn.Module:
        """A network of the architecture that `compress` gave, of whatever numbers; they are loaded afterwards.

        ``state`` has the names, shapes and types of its state dict, on the meta device. ``task.model`` has the
        architecture of the network that was compressed, and there are no samples. By default the architecture stays.
        """
        return task.model


def share(text: str, most: float = 1.0) -> float:
    """A share above 0 and below 1, or up to ``most`` where that is more; ValueError for anything else."""
    with suppress(ValueError):
        value = float(text) if re.fullmatch(r"[0-9.eE+-]+", text) else 0.0  # no blanks, nor digits of other scripts
        if 0 < value <= most and not value == most == 1.0:
            return value
    raise ValueError(f"give a share above 0 and {'below 1' if most == 1.0 else f'at most {most:g}'}, such as 0.5")
