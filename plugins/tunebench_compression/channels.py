"""Structured pruning: whole channels go, so that what is left is an ordinary, smaller network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tunebench import Compression, CompressionTask
from tunebench.compression import share
from tunebench_compression.thinning import LIBRARY, resized, thin
from tunebench_compression.training import recover


class Channels(Compression):
    """The channels of the smallest weights go, in every layer the same share (Li et al. 2017; torch-pruning)."""

    name = "channels"
    default = "0.5"
    packages = (LIBRARY,)
    summary = "Share of the channels of every hidden layer that goes, those of the smallest weights, then fine-tuning."

    def read(self, text: str) -> float:
        """The share that goes."""
        return share(text)

    def compress(self, task: CompressionTask, value: float) -> nn.Module:
        """Once, then training."""
        return recover(thin(task.model, task, value), task)

    def rebuild(self, task: CompressionTask, value: float, state: Mapping[str, Tensor]) -> nn.Module:
        """Layers of the same sizes."""
        return resized(task.model, state)
