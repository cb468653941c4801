"""Compressions (docs/compression.md): a trained network made smaller, by the libraries that do so best."""

from __future__ import annotations

from tunebench import Compression, hookimpl
from tunebench_compression.amc import Amc
from tunebench_compression.aware import Int8Aware
from tunebench_compression.channels import Channels
from tunebench_compression.distillation import Distill
from tunebench_compression.integers import Int8
from tunebench_compression.lowrank import LowRank
from tunebench_compression.nas import Nas
from tunebench_compression.selfdistillation import SelfDistill
from tunebench_compression.weights import Binary, Int4Weights, Prune


@hookimpl
def tunebench_compressions() -> list[Compression]:
    """The compressions of this package."""
    return [
        Prune(),
        Channels(),
        Amc(),
        Nas(),
        Int8(),
        Int8Aware(),
        Int4Weights(),
        Binary(),
        LowRank(),
        Distill(),
        SelfDistill(),
    ]
