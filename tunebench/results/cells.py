"""A cell of the grid, dataset x model x target x tuner x seed, and what a worker needs to compute it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tunebench
from tunebench.naming import path_part

if TYPE_CHECKING:
    from tunebench.datasets import Place
    from tunebench.networks.originals import OriginalKey
    from tunebench.selection.selector import SearchOptions
    from tunebench.source import PluginFile

Inputs = dict[str, Any]

PROTOCOL_VERSION = 2
"""Raise it when search, scoring or metrics change: it is part of every cell's key."""

STATUSES = ("ok", "skipped", "error", "invalid", "crashed", "timeout", "out-of-memory")
"""From best to worst for a row that bears the worst of its cells; all but the first two are failures."""
FAILURES = frozenset(STATUSES[2:])
UNDONE = "not done"
"""What a run counts a cell as that a machine could not compute: nothing is recorded, the next run computes it."""


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

    @cached_property
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
    inputs: Inputs
    """What the result depends on, see `cell_inputs`."""
    plugins: tuple[PluginFile, ...] = ()
    owners: tuple[str, ...] | None = None
    """Names of the plugins that the cell needs; None means all."""
    device: str = "cpu"
    place: Place | None = None
    """Where another machine may find the data."""
    network: PluginFile | None = None
    """The user's file that the network comes from, if it comes from one."""
    sources: tuple[str, ...] = ()
    """Names of the plugins that the data set comes from, if it comes from one."""

    @cached_property
    def key(self) -> str:
        """Content key of the inputs."""
        return key_of(self.inputs)


def cell_inputs(cell: Cell, original: OriginalKey, options: SearchOptions, tuner_digest: str) -> Inputs:
    """Everything that a cell's result depends on, by name, so that a difference can be told; JSON values only."""
    return {
        "cell": asdict(cell),
        "original": original.facts,
        "options": asdict(options),
        "tuner": tuner_digest,
        "tunebench": tunebench.__version__,
        "protocol": PROTOCOL_VERSION,
        **library_versions(),
    }


@cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries that figures depend on."""
    return {name: metadata.version(name) for name in ("torch", "numpy", "optuna")}


def place_name(dataset: str, model: str) -> str:
    """Data set and model in one name, for `place_parts` to take apart: either may be a path."""
    return f"{dataset}/{model.replace('%', '%25').replace('/', '%2F')}"


def place_parts(place: str) -> tuple[str, str]:
    """Data set and model of a `place_name`."""
    dataset, _, model = place.rpartition("/")
    return dataset, model.replace("%2F", "/").replace("%25", "%")


def common_inputs(jobs: Iterable[Job]) -> Inputs:
    """What the inputs of all cells of a run have in common, by original and tuner, for `inputs_of` to take apart."""
    common: Inputs = {"originals": {}, "code": {}, "rest": {}}
    for job in jobs:
        place = place_name(job.cell.dataset, job.cell.model)
        common["originals"][place] = {k: v for k, v in job.inputs["original"].items() if k != "seed"}
        common["code"][job.cell.tuner] = job.inputs["tuner"]
        common["rest"] = {k: v for k, v in job.inputs.items() if k not in ("cell", "original", "tuner")}
    return common


def inputs_of(cell: Cell, common: Inputs) -> Inputs:
    """The inputs that `common_inputs` of a run implies for ``cell``; KeyError for one that is not of the run."""
    return {
        "cell": asdict(cell),
        "original": {**common["originals"][place_name(cell.dataset, cell.model)], "seed": cell.seed},
        "tuner": common["code"][cell.tuner],
        **common["rest"],
    }


def key_of(inputs: Inputs) -> str:
    """Content key of `cell_inputs`."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    """Where two `cell_inputs` differ, each as ``name: found -> wanted``; long values are cut."""
    if found == wanted:
        return []
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted(found.keys() | wanted.keys())
        return [
            text for key in keys for text in differences(found.get(key), wanted.get(key), f"{name}.{key}".strip("."))
        ]
    return [f"{name}: {brief(found)} -> {brief(wanted)}"]


def brief(value: Any) -> str:
    """A value in at most a dozen letters: enough to see that a digest or a version is another one."""
    text = str(value)
    return text if len(text) <= 12 else f"{text[:9]}..."
