"""Something that no cell needs and that needs no cell, done beside them in a worker of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from tunebench.workers import isolation
from tunebench.workers.engines import Engine

Errand = Callable[[], Any]
"""A function of a module, for workers to find. What it returns or raises is lost: who needs what it makes looks for it,
and makes it where it is missing."""

SECONDS = 60.0
"""An errand that takes longer is ended."""


def send(engine: Engine, errand: Errand) -> Future[Any]:
    """Start ``errand`` beside what ``engine`` runs; closing the engine ends it."""
    return engine.submit(run_errand, errand, SECONDS)


def await_end(*sent: Future[Any]) -> None:
    """Wait until errands have ended, well or not: what is timed next is to be alone."""
    wait(sent)


def run_errand(errand: Errand) -> None:
    """Worker's side of `send`: silent, and without the limit of memory that is meant for tuners.

    It does not step back behind cells: on a machine that others use too it would then be what the run waits for.
    """
    isolation.silence()
    isolation.limit_memory(None)
    errand()
