"""Whether a machine has the data and the original of a cell, and how it gets them."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from pathlib import Path

from tunebench.datasets import Place, open_dataset
from tunebench.errors import DataError
from tunebench.grid.evaluation import hosts_part, model_of
from tunebench.grid.provenance import settle
from tunebench.networks.integrity import data_fault
from tunebench.networks.originals import data_folder, ensure_original, fault_of, materialise
from tunebench.plugins import load_registry
from tunebench.results.cells import Job
from tunebench.workers import isolation


def ready(job: Job) -> bool:
    """Whether this machine has the data and the original of ``job``, whole."""
    return not (data_fault(data_folder(job.original.data)) or fault_of(job.original))


def make_ready(job: Job) -> None:
    """Open the data and train the original, as another machine than the one that started the run has to.

    HostFault when that cannot be done.
    """
    settle()
    isolation.silence()
    key = job.original
    with hosts_part():
        registry = load_registry(job.plugins, only=None if job.owners is None else {*job.owners, *job.sources})
        if data_fault(data_folder(key.data)):
            dataset = open_dataset(key.dataset, job.place or Place(None), registry.named("tunebench_datasets"))
            if dataset.checksum != key.data:
                where = platform.node()
                raise DataError(f"{key.dataset} on {where} is not the data set of the run; copy the same files")
            materialise(dataset)
        ensure_original(key, model_of(registry, job), device=job.device)


def make_ready_elsewhere(job: Job) -> None:
    """`make_ready` on another machine than the run's: its own TUNEBENCH_DATA wins over the path that the run has."""
    own, place = os.environ.get("TUNEBENCH_DATA"), job.place or Place(None)
    make_ready(replace(job, place=replace(place, data_dir=Path(own))) if own else job)
