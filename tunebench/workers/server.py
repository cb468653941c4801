"""The server that workers are forked from, where there is one: started safely, and its death told from theirs."""

from __future__ import annotations

import os
from multiprocessing import forkserver, popen_forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.process import BaseProcess

from tunebench.workers import isolation

PRELOAD = ["tunebench.grid.preload"]
SETTINGS = {isolation.SAFE_PATH: isolation.OURS, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""Environment of the server where the user has set nothing else.

The second asks the driver whether there is a GPU: a process that asks CUDA itself leaves it to none forked from it.
"""


class Handle(popen_forkserver.Popen):
    """A process of the server's, as seen from here; the server alone can say how it ended."""

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Exit code, None while there is none; `isolation.UNTOLD` when the server's end of the pipe was closed first.

        Only a server's death closes it. multiprocessing says 255 there, which a process may say of itself.
        """
        if self.returncode is None and wait([self.sentinel], 0 if flag == os.WNOHANG else None):
            try:
                self.returncode = forkserver.read_signed(self.sentinel)
            except (OSError, EOFError):
                self.returncode = isolation.UNTOLD
        return self.returncode


class ServedProcess(ForkServerProcess):
    """A process forked from the server, behind a `Handle`."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Handle:
        """How multiprocessing starts it."""
        return Handle(process_obj)


def ensure_running() -> None:
    """Start the server where it does not run; it imports nothing from the working directory.

    It begins as ``python -c``, which would look there first, also for modules of the standard library.
    """
    isolation.shorten_temporary_folder()
    added = SETTINGS.keys() - os.environ.keys()
    os.environ.update({name: SETTINGS[name] for name in added})
    try:
        forkserver.set_forkserver_preload(PRELOAD)
        resource_tracker.ensure_running()  # the server would start it, and so let Ctrl-C through
        with isolation.interrupts_later():
            forkserver.ensure_running()
    finally:
        for name in added:
            del os.environ[name]
