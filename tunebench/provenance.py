"""Where a result comes from: versions, machine, seeds, split sizes, checksums."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from typing import Any

import torch

from tunebench.cells import Job
from tunebench.tuner import TuningTask

PACKAGES = ("tunebench", "torch", "torchvision", "numpy", "optuna", "pluggy", "numba")


def provenance(job: Job, task: TuningTask, test_samples: int) -> dict[str, Any]:
    """Everything about a cell's origin that is worth keeping; none of it decides whether the cell is reused."""
    return {
        "versions": {name: version_of(name) for name in PACKAGES} | {"python": platform.python_version()},
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "device": str(task.device),
        "git": git_revision(),
        "data": job.original.data,
        "recipe": job.original.recipe.name,
        "protocol": job.original.protocol,
        "seed": job.original.seed,
        "cell_seed": task.seed,
        "split": {"train": len(task.y_train), "valid": len(task.y_valid), "test": test_samples},
    }


def version_of(package: str) -> str | None:
    """Installed version of ``package``."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def cpu_name() -> str:
    """The processor's name where the system tells it."""
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor()


@cache
def git_revision() -> str | None:
    """Revision of the working directory's repository, if there is one."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
