"""A cell of the grid, dataset x model x target x tuner x seed, and what a worker needs to compute it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tunebench
from tunebench.naming import path_part

if TYPE_CHECKING:
    from tunebench.originals import OriginalKey
    from tunebench.plugins import PluginFile
    from tunebench.search import SearchOptions

PROTOCOL_VERSION = 1
"""Raise it when search, scoring or metrics change: it is part of every cell's key."""

STATUSES = ("ok", "skipped", "error", "invalid", "crashed", "timeout", "out-of-memory")
"""From best to worst for a row that bears the worst of its cells; all but the first two are failures."""
FAILURES = frozenset(STATUSES[2:])


@dataclass(frozen=True, order=True)
class Cell:
    """One result of the grid."""

    dataset: str
    model: str
    target: str
    """One class, or several joined by ``+``."""
    tuner: str
    seed: int

    @property
    def targets(self) -> tuple[int, ...]:
        """The target classes."""
        return tuple(int(part) for part in self.target.split("+"))

    @property
    def path(self) -> Path:
        """Where the cell's file lies inside ``OUT/cells`` and ``OUT/times``."""
        parts = (self.dataset, self.model, self.target, self.tuner)
        return Path(*map(path_part, parts), f"{self.seed}.json")


@dataclass(frozen=True)
class Job:
    """All that a worker gets: names and bytes, never a tuner or a tensor."""

    cell: Cell
    original: OriginalKey
    options: SearchOptions
    key: str
    plugins: tuple[PluginFile, ...] = ()
    device: str = "cpu"


def key_parts(cell: Cell, original: OriginalKey, options: SearchOptions, tuner_digest: str) -> dict[str, Any]:
    """Everything that a cell's result depends on, by name, so that a difference can be told."""
    return {
        "cell": asdict(cell),
        "original": asdict(original),
        "options": asdict(options),
        "tuner": tuner_digest,
        "tunebench": tunebench.__version__,
        "protocol": PROTOCOL_VERSION,
        **{name: metadata.version(name) for name in ("torch", "numpy", "optuna")},
    }


def key_of(parts: dict[str, Any]) -> str:
    """Content key of `key_parts`."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
