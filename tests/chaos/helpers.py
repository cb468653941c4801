"""What the chaos tests share: grids in processes of their own, and what has to hold after they end."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

GRID = (
    "run", "-d", "digits", "-m", "mlp:8", "-m", "mlp:12-8", "--seeds", "2", "--trials", "3", "--budget", "1.0",
    "-j", "2",
    "-t", "original", "-t", "logit-bias", "-t", "smvt-sj", "-t", "cw-p", "-q",
)  # fmt: skip
"""16 cells and 4 originals: a few seconds."""


def start(*args, cache: Path, **options) -> psutil.Popen:
    """``tunebench ARGS`` as a process group of its own, with ``cache`` as its cache."""
    command = [sys.executable, "-m", "tunebench", *map(str, args)]
    surroundings = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return psutil.Popen(
        command,
        env=surroundings,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(*args, cache: Path) -> float:
    """Run a command to its end, which has to be a good one; returns the seconds that it took."""
    began = time.monotonic()
    process = start(*args, cache=cache)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return time.monotonic() - began


def family(process: psutil.Process) -> list[psutil.Process]:
    """All descendants of a process."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def survivors(processes: list[psutil.Process], seconds: float = 120) -> list[str]:
    """Command lines of those ``processes`` that are still there after a while.

    A server of workers that is still importing torch when its parent is killed ends only after that: in seconds, or
    in a minute on a machine that is busy with other things.
    """
    alive = psutil.wait_procs(processes, timeout=seconds)[1]
    return [" ".join(process.cmdline()) for process in alive if process.is_running()]


def figures(out: Path) -> list[dict[str, str]]:
    """The leaderboard's rows without the columns that are times."""
    with (out / "leaderboard.csv").open(encoding="utf-8") as file:
        return [
            {name: text for name, text in row.items() if not name.endswith("_seconds") and "latency" not in name}
            for row in csv.DictReader(file)
        ]


def unfinished(*folders: Path) -> list[Path]:
    """Temporary files and half-built folders."""
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.name.endswith(".tmp") or path.name.startswith(".building-")
    ]
