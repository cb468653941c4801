"""Imported once by the server that all cells are forked from, so that none of them pays for it again."""

import contextlib
import importlib

from tunebench import cells, evaluation, latency, originals, plugins, provenance

with contextlib.suppress(ImportError):
    importlib.import_module("numba")  # half a second, and several tuners want it

cells.library_versions()
provenance.host()
plugins.installed()

__all__ = ["evaluation", "latency", "originals"]
