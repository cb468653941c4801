"""What a shell completes beside commands and options: names, as the last ``tunebench list`` found them.

Looking through plugins takes seconds and imports torch, too long for a key press; so `list` notes the names.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import click

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def noted(kind: str) -> Complete:
    """A ``shell_complete`` for names of ``kind``: tuners, datasets or models."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        return [name for name in known().get(kind, []) if name.startswith(incomplete)]

    return complete


def known() -> dict[str, list[str]]:
    """The noted names by kind; nothing where there is no note or a damaged one."""
    try:
        found = json.loads(place().read_text(encoding="utf-8"))
        return {kind: [str(name) for name in names] for kind, names in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def note(found: Mapping[str, Iterable[str]]) -> None:
    """Note the names by kind, without those that stand for a pattern, such as ``npz:FILE``; a full disk is no error."""
    from tunebench.errors import StoreError
    from tunebench.results.store import write_text

    names = {kind: sorted(name for name in entries if name == name.lower()) for kind, entries in found.items()}
    with contextlib.suppress(StoreError):
        write_text(place(), json.dumps(names))


def place() -> Path:
    """The file of the note."""
    import platformdirs

    return platformdirs.user_cache_path("tunebench") / "names.json"
