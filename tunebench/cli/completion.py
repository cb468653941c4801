"""What installed plugins offer, noted in the cache: looking takes seconds and imports torch.

A shell completes the names of the last ``tunebench list``, however old; `list` itself believes the note only while no
code has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

Complete = Callable[[click.Context, click.Parameter, str], list[str]]
Found = dict[str, dict[str, str]]
"""Names and one line about each, by kind."""


def noted(kind: str) -> Complete:
    """A ``shell_complete`` for names of ``kind``: tuners, datasets or models."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        return [name for name in known().get(kind, []) if name.startswith(incomplete)]

    return complete


def known() -> dict[str, list[str]]:
    """The noted names by kind, without those that stand for a pattern, such as ``npz:FILE``; nothing without a note."""
    return {kind: sorted(name for name in names if name == name.lower()) for kind, names in read()[1].items()}


def recalled(key: str) -> Found | None:
    """What was noted under ``key``, None if that was not the last."""
    noted_key, found = read()
    return found if found and noted_key == key else None


def note(found: Found, key: str) -> None:
    """Note what `list` found under ``key``; a full disk is no error."""
    from tunebench.errors import StoreError
    from tunebench.results.store import write_text

    with contextlib.suppress(StoreError):
        write_text(place(), json.dumps([key, found]))


def read() -> tuple[str, Found]:
    """The last key and what was noted under it; nothing where there is no note or a damaged one."""
    try:
        key, found = json.loads(place().read_text(encoding="utf-8"))
        return str(key), {
            kind: {str(name): str(text) for name, text in entries.items()} for kind, entries in found.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return "", {}


def code_key() -> str:
    """Digest of all that decides what is installed: our code, the plugins' packages, versions, blocked plugins."""
    from importlib import metadata

    from tunebench.digests import package_digest
    from tunebench.plugins import installed

    packages = {"tunebench", *(point.module for point in installed())}
    facts = [
        sys.version,
        os.environ.get("TUNEBENCH_DISABLED_PLUGINS", ""),
        [(point.name, point.value) for point in installed()],
        [(name, package_digest(name)) for name in sorted(packages)],
        [(name, metadata.version(name)) for name in ("torch", "torchvision", "optuna")],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def place() -> Path:
    """The file of the note."""
    import platformdirs

    return platformdirs.user_cache_path("tunebench") / "names.json"
