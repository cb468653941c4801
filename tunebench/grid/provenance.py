"""Where a result comes from: versions, machine, seeds, split sizes, checksums."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from tunebench.errors import StoreError
from tunebench.grid.tasks import task_seed
from tunebench.networks.originals import OriginalKey, data_folder, original_record
from tunebench.plugins import version_of
from tunebench.results.cells import Job

THREADS = 1
"""Of every cell's numerics, whatever the machine: figures must not depend on it."""
PACKAGES = ("tunebench", "torch", "torchvision", "numpy", "optuna", "pluggy", "numba")


def settle() -> None:
    """Keep out of this process's numerics what figures must not depend on; the first thing that every worker does.

    That is the number of threads, and on a GPU shortcuts: cuDNN's convolutions in TF32 change a logit by 1e-3 with the
    size of the batch, so that a folded network is not what was scored, and its fastest gradients differ between runs.
    """
    torch.set_num_threads(THREADS)
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True


def seed_all(seed: int, device: torch.device) -> None:
    """Seed torch: on the CPU that alone, since for a GPU that is not there torch keeps a traceback, at 2 ms each."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def provenance(job: Job) -> dict[str, Any]:
    """Everything about a cell's origin that is worth keeping; none of it decides whether the cell is reused."""
    return {
        **host(),
        "threads": THREADS,
        "device": job.device,
        "data": job.original.data,
        "original": weights_checksum(job.original),
        "training": training_of(job.original),
        "recipe": job.original.recipe.name,
        "protocol": job.original.protocol,
        "seed": job.original.seed,
        "cell_seed": task_seed(job.original, job.cell.targets, job.cell.tuner),
        "split": split_sizes(job.original),
    }


@cache
def host() -> dict[str, Any]:
    """Versions and machine: what no cell changes."""
    return {
        "versions": {name: version_of(name) for name in PACKAGES} | {"python": platform.python_version()},
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "git": git_revision(),
    }


def weights_checksum(key: OriginalKey) -> str | None:
    """Hex sha256 of the original's weights: two machines may train slightly different ones."""
    try:
        return hashlib.sha256((key.folder / "model.safetensors").read_bytes()).hexdigest()
    except OSError:
        return None


def training_of(key: OriginalKey) -> dict[str, float] | None:
    """Optimiser steps of the original and processor seconds that they took; None where nothing is known."""
    try:
        record = original_record(key)
    except StoreError:
        return None
    return {name: record[name] for name in ("steps", "cpu_seconds")} if "cpu_seconds" in record else None


def split_sizes(key: OriginalKey) -> dict[str, int] | None:
    """Samples in train, valid and test, from the headers of the cached files; None where they are missing."""
    data = data_folder(key.data)
    try:
        test = rows(data / "test.safetensors", "y")
        if key.protocol != "holdout":
            return {"train": rows(data / "train.safetensors", "y"), "valid": test, "test": test}
        tables = key.folder / "activations.safetensors"
        return {"train": rows(tables, "train_rows"), "valid": rows(tables, "valid_rows"), "test": test}
    except (OSError, SafetensorError):
        return None


def rows(path: Path, tensor: str) -> int:
    """Length of a stored tensor, without reading it."""
    with safe_open(path, "pt") as file:
        return int(file.get_slice(tensor).get_shape()[0])


def cpu_name() -> str:
    """The processor's name where the system tells it."""
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor()


def git_revision() -> str | None:
    """Revision of the working directory's repository, if there is one."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
