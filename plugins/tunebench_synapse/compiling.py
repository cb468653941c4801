"""Functions that numba compiles when they are first called; importing this module imports numba."""

from __future__ import annotations

import logging
import threading
from typing import Any

from numba import njit

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
"""No fast-math: infinities and NaN must compare as they should."""
_LOG = logging.getLogger(__name__)


class Compiled:
    """A function compiled at its first call, its machine code kept on disk where there is a folder for it."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.code: Any = None
        self.lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function."""
        if self.code is None:
            with self.lock:
                return self._first(*arguments)
        return self.code(*arguments)

    def _first(self, *arguments: Any) -> Any:
        """Compile and call: one thread at a time."""
        try:
            code = njit(**OPTIONS, cache=True)(self.function)
            result = code(*arguments)
        except Exception as error:
            # No folder for the code, one that is full, a damaged file in it: all raise differently, and
            # before the code runs. An error of another kind comes up again below.
            _LOG.info("compiling without a cache on disk: %s", error)
            code = njit(**OPTIONS)(self.function)
            result = code(*arguments)
        self.code = code
        return result
