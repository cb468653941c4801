"""Names that users type and names that become files."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from urllib.parse import quote, unquote

from tunebench.errors import UsageError


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that does not exist, with the nearest ones that do."""
    choices = sorted(set(known))
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(choices)}"
    return UsageError(f"unknown {kind} {name!r}; {hint}")


def match_names(patterns: Iterable[str], known: Iterable[str], unknown: Callable[[str], UsageError]) -> list[str]:
    """Known names that match any glob pattern, sorted; raises ``unknown(pattern)`` for one without a match."""
    names = sorted(known)
    chosen: set[str] = set()
    for pattern in patterns:
        hits = [name for name in names if fnmatchcase(name, pattern)]
        if not hits:
            raise unknown(pattern)
        chosen.update(hits)
    return sorted(chosen)


def path_part(name: str) -> str:
    """``name`` as one component of a path, reversible by `name_of`; refuses what would leave the folder."""
    if name in ("", ".", ".."):
        raise UsageError(f"{name!r} cannot be used as a name")
    return quote(name, safe="")


def name_of(part: str) -> str:
    """The name that `path_part` turned into ``part``."""
    return unquote(part)


def seed_of(*names: object) -> int:
    """A seed in [0, 2**31) that depends on the names alone, whatever the order of work."""
    text = "\x1f".join(map(str, names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
