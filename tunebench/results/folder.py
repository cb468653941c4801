"""What lies in a folder that results are to be written into: whose it is, links, what killed runs left behind."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import socket
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import quote

import psutil

from tunebench.errors import StoreError

INPUTS = re.compile(r"\..*|.*\.toml|README\.md")
"""Names of what may lie beside the results of a run before there are any: suites, and what is hidden."""
SCRATCH = re.compile(r"\.tunebench-(?P<host>.*)-(?P<process>\d+)-[0-9a-f]{16}\.tmp")
DEPTH = 6
"""Folders between OUT and a cell's file, and one more."""


def claim(out: Path, marks: Collection[str], beside: re.Pattern[str] = INPUTS) -> None:
    """StoreError unless ``out`` is new, or holds one of ``marks``, or nothing but files that match ``beside``.

    So that nobody's files are taken for ours, or overwritten.
    """
    names = sorted(os.listdir(out)) if out.is_dir() else []
    foreign = [name for name in names if not beside.fullmatch(name)]
    if foreign and not set(marks) & set(names):
        raise StoreError(f"{out} holds {foreign[0]}, and no results of ours; choose an empty folder as -o OUT")


def refuse_links(out: Path, ours: Collection[str]) -> None:
    """StoreError for a link among ``ours`` in ``out``, or anywhere below: whoever follows one writes elsewhere.

    ``out`` itself may be one.
    """
    for name in ours:
        for path in links(out / name):
            raise StoreError(f"{path} is a link, and results are written to no other place; choose another -o OUT")


def links(path: Path, depth: int = DEPTH) -> Iterator[Path]:
    """``path`` if it is a link, else those below it; none is followed."""
    if path.is_symlink():
        yield path
    elif path.is_dir() and depth:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_symlink() or entry.is_dir():  # tells without a look at every file
                    yield from links(Path(entry.path), depth - 1)


def sweep(out: Path, ours: Collection[str]) -> None:
    """Delete the temporary files of killed runs in ``out`` and in its folders ``ours``; OSError when it cannot."""
    below = itertools.chain.from_iterable((out / name).rglob(".*.tmp") for name in ours)
    for path in itertools.chain(out.glob(".*.tmp"), below):
        if is_left_over(path):
            path.unlink(missing_ok=True)


def scratch_for(path: Path) -> Path:
    """A new name beside ``path`` that tells who writes there, see `is_left_over`."""
    host = quote(socket.gethostname(), safe="")
    return path.with_name(f".tunebench-{host}-{os.getpid()}-{secrets.token_hex(8)}.tmp")


def is_left_over(path: Path) -> bool:
    """Whether the process that wrote a temporary file is gone: on this machine we look, for others we wait a day."""
    match = SCRATCH.fullmatch(path.name)
    if match is None:
        return False
    if match["host"] == quote(socket.gethostname(), safe=""):
        return not psutil.pid_exists(int(match["process"][:9]))
    return path.lstat().st_mtime < time.time() - 24 * 3600


def set_aside(path: Path) -> Path:
    """Rename an unusable file, so that it is neither read nor lost; returns its new place, where nothing was."""
    numbers = itertools.count(1)
    aside = path.with_suffix(".damaged")
    while os.path.lexists(aside):
        aside = path.with_suffix(f".damaged-{next(numbers)}")
    try:
        os.replace(path, aside)
    except OSError as exc:
        raise StoreError(f"cannot set aside {path}: {exc.strerror or exc}; remove it or choose another -o OUT") from exc
    return aside
