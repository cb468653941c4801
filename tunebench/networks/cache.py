"""The cache of data and trained originals: folders that appear complete or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import platformdirs

from tunebench.errors import StoreError


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
    unfinished = f".building-{folder.name}-"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
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


def sync(path: Path) -> None:
    """Make sure that a file's content is on disk before its folder gets its name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def size_of_cache() -> int:
    """Bytes on disk."""
    root = cache_root()
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) if root.is_dir() else 0


def clear_cache() -> int:
    """Delete the cache; returns the bytes that it took."""
    size = size_of_cache()
    shutil.rmtree(cache_root(), ignore_errors=True)
    return size
