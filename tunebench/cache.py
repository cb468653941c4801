"""The cache of data and trained originals: folders that appear complete or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
from filelock import FileLock

from tunebench.errors import StoreError


def cache_root() -> Path:
    """Where everything that can be recomputed lies."""
    return platformdirs.user_cache_path("tunebench")


def cached_folder(folder: Path, build: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``build(empty folder)`` unless it is there already.

    Built once even when several processes ask at the same time; StoreError when the cache cannot be written.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
            if not folder.is_dir():
                scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
                try:
                    build(scratch)
                    scratch.rename(folder)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
    except OSError as exc:
        raise StoreError(
            f"cannot write the cache {folder.parent}: {exc.strerror or exc}; make it writable or set XDG_CACHE_HOME"
        ) from exc
    return folder


def size_of_cache() -> int:
    """Bytes on disk."""
    root = cache_root()
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) if root.is_dir() else 0


def clear_cache() -> int:
    """Delete the cache; returns the bytes that it took."""
    size = size_of_cache()
    shutil.rmtree(cache_root(), ignore_errors=True)
    return size
