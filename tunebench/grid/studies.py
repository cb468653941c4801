"""The searches of a run as Optuna studies, so that optuna-dashboard and other tools of Optuna's can open them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from tunebench.errors import UsageError
from tunebench.plugins import PluginFile, load_registry
from tunebench.results.cells import Cell
from tunebench.results.store import Damaged, Store

METRICS = ["target samples right on validation", "samples right on validation"]


def opened(url: str) -> BaseStorage:
    """The storage at ``url``, such as ``sqlite:///studies.db``; UsageError when it cannot be opened."""
    try:
        return optuna.storages.get_storage(url)
    except Exception as exc:
        reason = " ".join(str(exc).split())[:200]
        raise UsageError(f"--optuna-storage {url}: {reason}; give a URL such as sqlite:///studies.db") from exc


def keep(out: Path, storage: BaseStorage, plugins: Iterable[PluginFile] = ()) -> int:
    """Write the search of every cell of ``out`` as a study named after the cell; returns their number.

    A study of that name is replaced. Cells of tuners that are not installed here are left out.
    """
    tuners = load_registry(plugins).tuners
    known = set(optuna.get_all_study_names(storage))
    store, count = Store(out), 0
    for cell, _ in store.cells():
        if cell.tuner in tuners and (record := read(store, cell)) is not None:
            name = cell.path.with_suffix("").as_posix()
            if name in known:
                optuna.delete_study(study_name=name, storage=storage)
            study = optuna.create_study(storage=storage, study_name=name, directions=["maximize"] * 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(METRICS)
            study.add_trials(trials_of(record, dict(tuners[cell.tuner].search_space())))
            count += 1
    return count


def read(store: Store, cell: Cell) -> dict[str, Any] | None:
    """The record of a cell that is ok, else None."""
    try:
        record = store.get("cells", cell)
    except Damaged:
        return None
    return record if record is not None and record["status"] == "ok" else None


def fits(value: Any, distribution: optuna.distributions.BaseDistribution) -> bool:
    """Whether a hyperparameter may have this value."""
    try:
        optuna.create_trial(params={"it": value}, distributions={"it": distribution}, value=0.0)
    except ValueError:
        return False
    return True


def trials_of(record: dict[str, Any], space: dict[str, Any]) -> Iterator[FrozenTrial]:
    """A cell's history as finished trials; what the tuner does not search any more is left out, names and values."""
    for step in record["history"]:
        params = {name: value for name, value in step["params"].items() if name in space and fits(value, space[name])}
        ranges = {name: space[name] for name in params}
        yield optuna.create_trial(params=params, distributions=ranges, values=[float(n) for n in step["score"][:2]])
