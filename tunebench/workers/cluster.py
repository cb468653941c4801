"""Cells on many machines: a dask.distributed cluster behind the same `Engine.submit`; the scheduling is all dask's."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import Any, NamedTuple

from tunebench.errors import UsageError
from tunebench.workers import isolation
from tunebench.workers.engines import Engine, LocalEngine, result_of

PATIENCE = 15
"""Seconds in which the scheduler has to answer and the first worker to be there."""
SCHEMES = {"dask": "tcp", "tcp": "tcp", "tls": "tls"}
"""What ``--executor`` says -> what dask says."""
GONE = "the dask scheduler is gone; start it again: finished cells are kept, the same command goes on"


class Preparation(NamedTuple):
    """What a machine needs before it can run an argument: whether it is there, and how to get it."""

    ready: Callable[[Any], bool]
    make_ready: Callable[[Any], None]


class DaskEngine:
    """Runs every cell in a process of its own on some worker of a cluster; ``memory`` is its limit in bytes.

    ``preparation`` is carried out by each worker first, since another machine has neither data nor originals.
    """

    def __init__(self, executor: str, memory: int | None, preparation: Preparation | None = None) -> None:
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError as exc:
            raise UsageError("--executor dask:// needs another package: pip install 'tunebench[dask]'") from exc
        scheme, _, place = executor.partition("://")
        address = f"{SCHEMES[scheme]}://{place}"
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we say in one line what went wrong
        if SCHEMES[scheme] == "tls":
            require_certificates(distributed, executor)
        try:
            self.client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError) as exc:
            where = "to our certificates" if scheme == "tls" else "there"
            raise UsageError(
                f"--executor {executor}: no dask scheduler answers {where}; start one, or mend the address"
            ) from exc
        try:
            self.client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as exc:
            self.client.close()
            raise UsageError(
                f"--executor {executor}: the scheduler has no worker; start one with: dask worker {address}"
            ) from exc
        self.memory, self.preparation = memory, preparation
        self.executor = self.client.get_executor(pure=False)

    @property
    def workers(self) -> int:
        """Twice the threads of the cluster as it is now, so that none waits for work on its way."""
        self.require_scheduler()
        try:
            threads: dict[str, int] = self.client.nthreads()
        except OSError as exc:
            raise UsageError(GONE) from exc
        return max(1, 2 * sum(threads.values()))

    def submit(self, function: Callable[[Any], Any], argument: Any, timeout: float | None) -> Future[Any]:
        """See `tunebench.workers.engines.Engine.submit`; dask itself moves a task whose worker is gone."""
        self.require_scheduler()
        future: Future[Any] = self.executor.submit(
            on_worker, function, argument, timeout, self.memory, self.preparation
        )
        return future

    def close(self) -> None:
        """See `tunebench.workers.engines.Engine.close`; cells that run are not waited for."""
        with contextlib.suppress(Exception):  # whatever a scheduler that is gone makes of it
            self.executor.shutdown(wait=False)
            self.client.close()

    def require_scheduler(self) -> None:
        """UsageError when the scheduler is gone for good: its cells have not failed, they are just not done."""
        if self.client.status in ("closing", "closed"):
            raise UsageError(GONE)


def require_certificates(distributed: Any, executor: str) -> None:
    """UsageError when dask's configuration names no certificates, or some that cannot be used.

    Its client would wait half a minute for ``executor`` without them.
    """
    try:
        context = distributed.Security().get_connection_args("client")["ssl_context"]
    except OSError as exc:
        raise UsageError(
            f"--executor {executor}: the certificates cannot be used ({exc.strerror or exc}); mend what dask's "
            "configuration says below distributed.comm.tls, or DASK_DISTRIBUTED__COMM__TLS__..."
        ) from exc
    loader = importlib.import_module("dask.config").get("distributed.client.security-loader", None)
    if context is None and loader is None:
        raise UsageError(
            f"--executor {executor}: TLS needs certificates; set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
            "..._TLS__CLIENT__CERT and ..._TLS__CLIENT__KEY to their files"
        )


def on_worker(
    function: Callable[[Any], Any],
    argument: Any,
    timeout: float | None,
    memory: int | None,
    preparation: Preparation | None,
) -> Any:
    """A worker's side: the same isolation and timeout as on one machine, after this one has data and original."""
    if preparation is not None and not preparation.ready(argument):
        result_of(engine_here(None).submit(preparation.make_ready, argument, None))
    return result_of(engine_here(memory).submit(function, argument, timeout))


@cache
def engine_here(memory: int | None) -> LocalEngine:
    """This worker's own engine; dask, not the engine, says how many cells it runs at once."""
    # Dask's nanny makes its workers daemons, and Python lets no daemon have children; ours end with their parent.
    isolation.allow_children()
    return LocalEngine(1, memory)


def open_engine(
    executor: str, local: LocalEngine, memory: int | None, preparation: Preparation | None = None
) -> Engine:
    """The engine that ``--executor`` names: ``processes`` is ``local``, ``dask://HOST:PORT`` a cluster.

    ``tls://HOST:PORT`` is one that speaks TLS; certificates come from dask's own configuration.
    """
    if executor == "processes":
        return local
    scheme, _, place = executor.partition("://")
    if scheme not in SCHEMES or not place:
        raise UsageError(
            f"--executor {executor!r}: write processes, or dask://HOST:PORT of a dask scheduler; tls:// with TLS"
        )
    return DaskEngine(executor, memory, preparation)
