"""The server that workers are forked from, where there is one: started safely, and its death told from theirs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
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
KEPT: dict[str, str] = {}
"""The environment that the server is started with, as `keep_environment` found it; empty for the one at that time."""


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


def keep_environment() -> None:
    """Let a server that is started later have the environment of now, before any plugin changes it."""
    KEPT.clear()
    KEPT.update(os.environ)


def ensure_running() -> None:
    """Start the server where it does not run; it imports nothing from the working directory.

    It begins as ``python -c``, which would look there first, also for modules of the standard library.
    """
    isolation.shorten_temporary_folder()
    with environment(SETTINGS | (KEPT or dict(os.environ))):
        forkserver.set_forkserver_preload(PRELOAD)
        resource_tracker.ensure_running()  # the server would start it, and so let Ctrl-C through
        with isolation.interrupts_later():
            forkserver.ensure_running()


@contextlib.contextmanager
def environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Have this environment inside, which a process that is started there inherits."""
    before = dict(os.environ)
    change(before, wanted)
    try:
        yield
    finally:
        change(wanted, before)


def change(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Turn one environment into another; what is the same in both is not touched, since other threads may read it."""
    for name in before.keys() - after.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in after.items() if before.get(name) != value})
