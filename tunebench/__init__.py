"""tunebench: fair comparison of tuners that raise one class of a trained classifier."""

from tunebench.errors import DataError, InvalidOutput, PluginError, StoreError, TunebenchError, UsageError
from tunebench.hookspecs import TargetClassTuner, hookimpl
from tunebench.tuner import LogitEdit, Tuner, TuningTask

__version__ = "0.1.0"

__all__ = [
    "DataError",
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
]
