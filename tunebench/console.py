"""What a process of the command line does first: signals end it cleanly, and its output always has somewhere to go."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from tunebench.errors import Interrupted, StoreError, Terminated

KEPT = "finished cells are kept, the same command goes on"
ENDINGS: dict[int, tuple[type[BaseException], str, int]] = {
    signal.SIGINT: (Interrupted, f"interrupted; {KEPT}", 130),
    signal.SIGTERM: (Terminated, f"terminated; {KEPT}", 143),  # batch systems send it before they kill
}
"""Signal -> what it raises, what is said of it, and the exit code."""


def end(number: int, frame: FrameType | None) -> None:
    """Handle a signal: raise, so that workers end and files are complete.

    Not while a module is imported: what is half imported fails in ways of its own. There the process ends at once,
    and its workers with it.
    """
    kind, text, code = ENDINGS[number]
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            with contextlib.suppress(OSError):
                os.write(2, f"tunebench: {text}\n".encode())
            os._exit(code)
        frame = frame.f_back
    raise kind


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Handle signals inside as `end` does, but not one that whoever started us has made ours to ignore."""
    before = {number: signal.getsignal(number) for number in ENDINGS}
    ours = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Import inside without the collector of cycles, which would walk again and again what modules make and keep.

    It takes a sixth of the time of importing torch.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


class Outlet(io.FileIO):
    """Standard output or error. Its reader may leave: what is written then goes nowhere, and the command goes on.

    A gate whose output goes through ``head`` keeps its exit code. Any other fault is told once, on standard error.
    """

    broken = False

    def write(self, data: Any) -> int:
        """Write as much as there is room for."""
        try:
            return len(data) if self.broken else super().write(data)
        except OSError as exc:
            self.broken = True
            if isinstance(exc, BrokenPipeError) or self.fileno() == 2:
                return len(data)
            raise StoreError(f"cannot write the output: {exc.strerror}; send it somewhere else") from exc


def open_streams() -> None:
    """Make standard streams of this process that can be written to, whatever it was started with.

    A closed one leads nowhere, before a file of ours gets its number. Only what we print ourselves reaches standard
    output: prints of C code and of processes that plugins start go to standard error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    out = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.__stdout__ = stream(out, sys.stdout)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = stream(2, sys.stderr)  # type: ignore[misc]


def stream(number: int, before: Any) -> io.TextIOWrapper:
    """A text stream on an `Outlet`, in the encoding of the one ``before``; what that lacks is written as an escape."""
    outlet = io.BufferedWriter(Outlet(number, "w", closefd=False))
    lines = number == 2 or outlet.isatty()
    encoding = getattr(before, "encoding", None) or "utf-8"
    return io.TextIOWrapper(outlet, encoding=encoding, errors="backslashreplace", line_buffering=lines)
