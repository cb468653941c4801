"""tunebench: fair comparison of tuners that raise one class of a trained classifier."""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; `typing` would keep a command from handling Ctrl-C for a while
if TYPE_CHECKING:
    from os import PathLike
    from typing import Any

    from tunebench.boards.frames import Frames
    from tunebench.compression import Compression, CompressionTask
    from tunebench.errors import (
        DataError,
        Inapplicable,
        InvalidOutput,
        PluginError,
        StoreError,
        TunebenchError,
        UsageError,
    )
    from tunebench.hookspecs import TargetClassTuner, hookimpl
    from tunebench.own.api import tune as tune
    from tunebench.own.api import tune_logits as tune_logits
    from tunebench.tuner import LogitEdit, Tuner, TuningTask

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

HOMES = {
    "compression": ("Compression", "CompressionTask"),
    "errors": (
        "DataError",
        "Inapplicable",
        "InvalidOutput",
        "PluginError",
        "StoreError",
        "TunebenchError",
        "UsageError",
    ),
    "hookspecs": ("TargetClassTuner", "hookimpl"),
    "own.api": ("tune", "tune_logits"),
    "tuner": ("LogitEdit", "Tuner", "TuningTask"),
}
"""Module -> the public names that it defines. Nothing is imported before it is asked for: a command handles signals
first, and the functions of `tunebench.own.api` need torch."""


def __getattr__(name: str) -> Any:
    """A public name, from the module that defines it."""
    for module, names in HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f"tunebench.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """All public names, for whoever completes them."""
    return sorted({*globals(), *__all__})


def load(out: str | PathLike[str]) -> Frames:
    """A run folder as pandas tables: rows, curves, pairs, classes, and predictions image by image."""
    from pathlib import Path

    from tunebench.boards.frames import load as load_frames

    return load_frames(Path(out))
