"""Who watches a run: the command line draws progress bars, a library call may watch nothing."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Whoever watches a run; the CLI draws progress bars."""

    interactive: bool
    """Whether workers may draw bars of their own on the terminal."""

    def stage(self, name: str, total: int) -> None:
        """A stage of ``total`` steps begins."""

    def step(self, note: str) -> None:
        """One step of the stage is done."""

    def warn(self, text: str) -> None:
        """Something that the user should read."""

    def explain(self, text: str) -> None:
        """Why a cell is reused or computed; only when `RunOptions.explain` is set."""


class Silent:
    """Watches nothing."""

    interactive = False

    def stage(self, name: str, total: int) -> None:
        """See `Observer`."""

    def step(self, note: str) -> None:
        """See `Observer`."""

    def warn(self, text: str) -> None:
        """See `Observer`."""

    def explain(self, text: str) -> None:
        """See `Observer`."""
