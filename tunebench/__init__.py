"""tunebench: fair comparison of tuners that raise one class of a trained classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunebench.compression import Compression, CompressionTask
from tunebench.errors import DataError, Inapplicable, InvalidOutput, PluginError, StoreError, TunebenchError, UsageError
from tunebench.hookspecs import TargetClassTuner, hookimpl
from tunebench.tuner import LogitEdit, Tuner, TuningTask

if TYPE_CHECKING:
    from os import PathLike

    from tunebench.boards.frames import Frames
    from tunebench.own.api import tune as tune
    from tunebench.own.api import tune_logits as tune_logits

__version__ = "0.1.0"

__all__ = [
    "Compression",
    "CompressionTask",
    "DataError",
    "Inapplicable",
    "InvalidOutput",
    "LogitEdit",
    "PluginError",
    "StoreError",
    "TargetClassTuner",
    "TunebenchError",
    "Tuner",
    "TuningTask",
    "UsageError",
    "__version__",
    "hookimpl",
    "load",
    "tune",
    "tune_logits",
]


def __getattr__(name: str) -> Any:
    """`tunebench.own.api`'s functions, imported when they are asked for: they need torch."""
    if name in ("tune", "tune_logits"):
        from tunebench.own import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(out: str | PathLike[str]) -> Frames:
    """A run folder as pandas tables: rows, curves, pairs, classes, and predictions image by image."""
    from pathlib import Path

    from tunebench.boards.frames import load as load_frames

    return load_frames(Path(out))
