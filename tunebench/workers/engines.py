"""Who runs the cells: an engine starts a function of one argument somewhere and returns a Future, nothing more."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from typing import Any, Protocol

import pebble
import pebble.concurrent

from tunebench.cache import sweep
from tunebench.errors import HostFault
from tunebench.workers import isolation

ATTEMPTS, PAUSE = 4, 0.2
"""How often a process is started that does not start, and seconds to wait longer each time."""


class Engine(Protocol):
    """Runs functions of one argument somewhere else."""

    @property
    def workers(self) -> int:
        """How many functions are worth having under way at once."""

    def submit(self, function: Callable[[Any], Any], argument: Any, timeout: float | None) -> Future[Any]:
        """Start ``function(argument)``.

        The future, read by `result_of`, fails with TimeoutError after ``timeout`` seconds, with
        `pebble.ProcessExpired` when the process ends without a result, and with whatever the function raises.
        """

    def close(self) -> None:
        """End whatever still runs, and wait until it has ended."""


STARTING = threading.Lock()
"""Held while a process is started: the environment that it inherits, and which was made last, are of all threads."""


class LocalEngine:
    """A fresh process on this machine for every function, forked from a server that has torch loaded.

    It is for the caller to have no more than ``workers`` of them at a time. ``memory`` is the limit of each in bytes.
    """

    def __init__(self, workers: int, memory: int | None = None) -> None:
        self.workers = workers
        self.memory = memory
        methods = multiprocessing.get_all_start_methods()
        self.context = Remembering("forkserver" if "forkserver" in methods else "spawn")
        self.running: set[Future[Any]] = set()

    def warm_up(self, now: bool = True) -> None:
        """Start the server that workers are forked from: it takes a while, and they inherit what is set by then.

        If not ``now``, it is started with the first worker, and all the same inherits the environment of this moment.
        """
        self.context.keep_environment()
        if now:
            self.context.make_ready()

    def submit(self, function: Callable[[Any], Any], argument: Any, timeout: float | None) -> Future[Any]:
        """See `Engine.submit`."""
        # pebble's stubs call the context mp_context.
        options: Any = {"name": isolation.WORKER, "timeout": timeout, "context": self.context}
        start: Any = pebble.concurrent.process(**options)
        try:
            with STARTING:
                future: Future[Any] = self.context.persistent(lambda: start(isolated)(function, argument, self.memory))
                process = self.context.latest
        except HostFault as exc:
            future = Future()
            future.set_exception(exc)
            return future
        self.running.add(future)
        future.add_done_callback(lambda _: isolation.end_group(process.pid))
        future.add_done_callback(self.running.discard)
        return future

    def close(self) -> None:
        """See `Engine.close`; what was ended in the middle of filling the cache leaves nothing half built."""
        before, threading.excepthook = threading.excepthook, ignore_late_results
        try:
            for future in list(self.running):
                future.cancel()
            for thread in threading.enumerate():
                if thread.name == isolation.WORKER:  # pebble's, one for each process; ends when the process has ended
                    thread.join(10)
        finally:
            threading.excepthook = before
            sweep()


class Remembering:
    """A multiprocessing context, as pebble uses it, that knows the last process it made."""

    def __init__(self, method: str) -> None:
        context: Any = multiprocessing.get_context(method)
        self.get_start_method, self.Pipe, self.make = context.get_start_method, context.Pipe, context.Process
        if self.get_start_method() == "forkserver":
            from tunebench.workers import server  # which only such a system can import

            self.make = server.ServedProcess
        self.latest: Any = None

    def Process(self, **options: Any) -> Any:
        """A process that is not started yet."""
        self.latest = self.make(**options)
        return self.latest

    def persistent(self, start: Callable[[], Future[Any]]) -> Future[Any]:
        """What ``start`` returns once its process runs; HostFault when none can be started.

        A fork server that was killed, or that found no room for one more process, answers nothing; the next one may.
        """
        for attempt in range(ATTEMPTS):
            try:
                self.make_ready()
                return start()
            except (EOFError, OSError) as exc:
                fault = exc
                time.sleep(attempt * PAUSE)
        why = getattr(fault, "strerror", None) or type(fault).__name__
        raise HostFault(f"no worker process can be started ({why})") from fault

    def keep_environment(self) -> None:
        """See `server.keep_environment`."""
        if self.get_start_method() == "forkserver":
            from tunebench.workers import server

            server.keep_environment()

    def make_ready(self) -> None:
        """Start the fork server where the system has one and it does not run."""
        if self.get_start_method() == "forkserver":
            from tunebench.workers import server

            server.ensure_running()


def ignore_late_results(args: threading.ExceptHookArgs) -> None:
    """Be quiet about a cell that came to its end just when it was cancelled."""
    if not issubclass(args.exc_type, InvalidStateError):
        threading.__excepthook__(args)


def isolated(function: Callable[[Any], Any], argument: Any, memory: int | None) -> Any:
    """``function(argument)`` in a process that ends with its parent, and what the function starts with it.

    What would end the parent when the future is read, sys.exit or a KeyboardInterrupt that nobody's key has caused,
    becomes an ordinary error.
    """
    isolation.own_group()
    isolation.allow_children()
    isolation.end_with_parent()
    isolation.limit_memory(memory)
    try:
        return function(argument)
    except Exception:
        raise
    except SystemExit as exc:
        raise RuntimeError(f"sys.exit({exc.code!r}) was called") from exc
    except BaseException as exc:
        raise RuntimeError(f"{type(exc).__name__} was raised: {exc}".rstrip(": ")) from exc
    finally:
        isolation.end_children()


def result_of(future: Future[Any]) -> Any:
    """What a function that was submitted returned, or raised; HostFault when nobody can say how its process ended."""
    try:
        return future.result()
    except pebble.ProcessExpired as exc:
        if exc.exitcode == isolation.UNTOLD:
            raise HostFault("the server of workers was killed, and the worker with it") from exc
        raise


def in_flight(
    engine: Engine,
    function: Callable[[Any], Any],
    take: Callable[[], Any],
    timeout: float | None,
    *,
    ahead: bool = False,
) -> Iterator[tuple[Any, Future[Any]]]:
    """Keep the engine busy with what ``take`` hands out, None when there is nothing now; yield what is done.

    With ``ahead`` the place of what is done is taken before it is yielded, so that no worker waits for what is done
    with it then; else afterwards.
    """
    pending: dict[Future[Any], Any] = {}

    def fill() -> None:
        while len(pending) < engine.workers and (argument := take()) is not None:
            pending[engine.submit(function, argument, timeout)] = argument

    while True:
        fill()
        if not pending:
            return
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            argument = pending.pop(future)
            if ahead:
                fill()
            yield argument, future
