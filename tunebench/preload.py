"""Imported once by the server that all cells are forked from, so that none of them pays for it again."""

import contextlib
import importlib
import pickle
import sys
from types import TracebackType

from tunebench import cells, evaluation, latency, originals, plugins, provenance

with contextlib.suppress(ImportError):
    importlib.import_module("numba")  # half a second, and several tuners want it

cells.library_versions()
provenance.host()
plugins.installed()



def quiet_when_orphaned(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    """Say nothing of a worker that was forked just when the run ended, so that nobody told it what to do."""
    if not issubclass(kind, EOFError | OSError | pickle.UnpicklingError):
        sys.__excepthook__(kind, exc, trace)


sys.excepthook = quiet_when_orphaned

__all__ = ["evaluation", "latency", "originals"]
