"""The cache of data and trained originals: folders that appear complete or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import platformdirs

from tunebench.errors import StoreError

RUNS = "runs"
"""Folder of the notes of running runs: what they use."""
SITE = ".building-"
"""Before the name of a folder that is not complete yet, and a dash and its builder's process behind it."""


def cache_root() -> Path:
    """Where everything that can be recomputed lies."""
    return platformdirs.user_cache_path("tunebench")


def cached_folder(folder: Path, build: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``build(empty folder)`` unless it is there already.

    Built once even when several processes ask at the same time; StoreError when the cache cannot be written.
    """
    from filelock import FileLock  # a tenth of a second for both, which nobody needs who reads results
    from safetensors import SafetensorError

    if folder.is_dir():
        return folder
    unfinished = f"{SITE}{folder.name}-"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock_of(folder)):
            for left_over in folder.parent.glob(f"{unfinished}*"):  # by a process that was killed: we hold the lock
                shutil.rmtree(left_over, ignore_errors=True)
            if not folder.is_dir():
                scratch = folder.parent / f"{unfinished}{os.getpid()}"
                scratch.mkdir()  # with the rights that the user's umask gives
                try:
                    build(scratch)
                    for path in scratch.iterdir():
                        sync(path)
                    scratch.rename(folder)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
    except (OSError, SafetensorError) as exc:
        reason = getattr(exc, "strerror", None) or " ".join(str(exc).split())
        raise StoreError(
            f"cannot write the cache {folder.parent}: {reason}; free space, make it writable or set XDG_CACHE_HOME"
        ) from exc
    return folder


def lock_of(folder: Path) -> Path:
    """The file that whoever builds a folder of the cache holds locked."""
    return folder.with_name(folder.name + ".lock")


def sweep() -> None:
    """Remove what killed processes have left half built; what a living one builds is locked, and stays."""
    for site in cache_root().glob(f"*/{SITE}*"):
        from filelock import FileLock, Timeout  # hardly ever

        folder = site.with_name(site.name.removeprefix(SITE).rpartition("-")[0])
        with contextlib.suppress(Timeout, OSError), FileLock(lock_of(folder), timeout=0):
            shutil.rmtree(site, ignore_errors=True)


def sync(path: Path) -> None:
    """Make sure that a file's content is on disk before its folder gets its name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def size_of_cache() -> int:
    """Bytes on disk."""
    root = cache_root()
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) if root.is_dir() else 0


class Cleared(NamedTuple):
    """What clearing the cache did: bytes freed, bytes left, and the number of running runs that they are left for."""

    freed: int
    left: int
    runs: int


@contextlib.contextmanager
def in_use(folders: Iterable[Path]) -> Iterator[None]:
    """Keep ``folders`` of the cache from `clear_cache` inside; a lock says so, which ends with this process."""
    from filelock import FileLock

    mine = cache_root() / RUNS / f"{quote(socket.gethostname(), safe='')}-{os.getpid()}-{time.monotonic_ns()}"
    lock, listing = FileLock(mine.with_suffix(".lock")), mine.with_suffix(".json")
    with contextlib.ExitStack() as held:
        try:
            mine.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock)
            listing.write_text(json.dumps([str(folder.relative_to(cache_root())) for folder in folders]))
        except OSError:  # whoever cannot write it can still read it
            pass
        try:
            yield
        finally:
            for path in (listing, Path(lock.lock_file)):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def live_runs() -> list[set[Path]]:
    """What each running run keeps, its own note included; notes of runs that have ended are removed."""
    from filelock import FileLock, Timeout

    found = []
    for listing in cache_root().joinpath(RUNS).glob("*.json"):
        lock = listing.with_suffix(".lock")
        try:
            with FileLock(lock, timeout=0):
                listing.unlink(missing_ok=True)
        except Timeout:
            with contextlib.suppress(OSError, ValueError):
                found.append({listing, lock, *(cache_root() / folder for folder in json.loads(listing.read_text()))})
    return found


def clear_cache() -> Cleared:
    """Delete the cache but for what running runs use, and what they are building."""
    before, runs = size_of_cache(), live_runs()
    kept = set().union(*runs)

    remove(cache_root(), kept)
    left = size_of_cache()
    return Cleared(before - left, left, len(runs))


def remove(path: Path, kept: set[Path]) -> None:
    """Delete ``path`` but for the ``kept`` inside, and what is named after them beside them: locks, building sites."""
    if any(keep.parent == path.parent and keep.name in path.name for keep in kept):
        return
    if any(path in keep.parents for keep in kept):
        for inside in path.iterdir():
            remove(inside, kept)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
