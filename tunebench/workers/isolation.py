"""What keeps one cell from harming the others: its process ends with its parent, is silent, and has a memory limit."""

from __future__ import annotations

import contextlib
import errno
import math
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing import util
from multiprocessing.connection import wait
from pathlib import Path

import psutil

from tunebench.errors import StoreError

WORKER = "tunebench-cell"
"""Name of every process that runs a cell, and of the thread that waits for it."""
RESERVED = 0.1
"""Share of the machine's memory that no cell gets."""
LEAST = 2**30
"""No cell's limit is lower, in bytes: torch alone takes a few hundred MB."""
SHORT_FOLDER = "/tmp"
LONGEST_FOLDER = 60
"""Bytes of a folder for temporary files below which a socket's path fits into the system's 104 or 108."""
UNTOLD = 1000
"""Exit code, which no process can have, of one whose server was killed before it could tell how the process ended."""
NO_MEMORY = ("can't allocate memory", "Cannot allocate memory", "bad_alloc")
"""How torch and C++ report what Python calls a MemoryError."""
SAFE_PATH = "PYTHONSAFEPATH"
"""Set to anything, it keeps the working directory out of ``sys.path``."""
OURS = "tunebench"
"""Its value where we have set it, for the fork server alone."""


def end_with_parent() -> None:
    """End this process as soon as its parent is gone, also when the parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int = parent.sentinel) -> None:
        wait([sentinel])
        end_group(os.getpid())
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def interrupts_later() -> Iterator[None]:
    """Hold Ctrl-C back inside; a process that is started there goes on to hold it back until it has a handler."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def forget_interrupts() -> None:
    """Drop a Ctrl-C that was held back, and let the next one through: the end of what `interrupts_later` began."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, before)


def own_group() -> None:
    """Make this process the head of a group of processes: those that it starts, and that they start."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a terminal may stop whoever draws a bar from the background


def end_group(head: int | None) -> None:
    """Kill whatever is left of the group of processes that ``head`` is, or was, the head of."""
    if hasattr(os, "killpg") and head:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(head, signal.SIGKILL)


def allow_children() -> None:
    """Let this process start others, though its parent calls it a daemon: a DataLoader, say."""
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


def end_children() -> None:
    """Kill all processes that this one has started: multiprocessing would wait for them at its end."""
    if hasattr(os, "waitid"):
        try:  # looking for them takes a while, asking whether there are any does not
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()


def shorten_temporary_folder() -> None:
    """Let multiprocessing keep its sockets where a path to one is short enough, whatever TMPDIR says.

    StoreError where there is no folder for temporary files at all.
    """
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError as exc:
        raise StoreError(f"no folder for temporary files ({exc.strerror}); make one and set TMPDIR") from exc
    if len(os.fsencode(folder)) > LONGEST_FOLDER and os.path.isdir(SHORT_FOLDER):
        tempfile.tempdir = SHORT_FOLDER
        try:
            util.get_temp_dir()  # chosen once for each process and those that it starts
        finally:
            tempfile.tempdir = folder


def silence() -> None:
    """Send this process's standard output and error nowhere, also what C code prints."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def machine_memory() -> int:
    """Bytes of memory that this machine, or the control group we run in, has."""
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no such limit
        return total


def usable_cores() -> int:
    """Cores that this process may use: those it is bound to (taskset), or as many as its control group pays for."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text().split())
        return max(1, min(bound, math.ceil(quota / period)))
    except (OSError, ValueError):  # no such limit
        return bound


def fair_share(workers: int) -> int:
    """Bytes that one of ``workers`` cells may take when all of them run on this machine."""
    return max(LEAST, int(machine_memory() * (1 - RESERVED)) // workers)


def limit_memory(size: int | None) -> None:
    """Let allocations fail beyond ``size`` bytes of private memory; None, or a system without such limits: no limit."""
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = hard if size is None else size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def is_out_of_memory(exc: BaseException) -> bool:
    """Whether ``exc`` says that an allocation failed."""
    if isinstance(exc, MemoryError) or (isinstance(exc, OSError) and exc.errno == errno.ENOMEM):
        return True
    return type(exc).__name__ == "OutOfMemoryError" or (
        isinstance(exc, RuntimeError) and any(sign in str(exc) for sign in NO_MEMORY)
    )


def oom_kills() -> int:
    """How many processes the kernel has killed for memory since it started; 0 where it does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def how_it_ended(exit_code: int) -> str:
    """A process's exit code in words."""
    if exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        return f"its process was ended by {name} ({signal.strsignal(-exit_code) or 'no description'})"
    return f"its process ended by itself with exit code {exit_code} and without a result"
