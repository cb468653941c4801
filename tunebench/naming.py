"""Names that users type, names that become files, and texts that may be printed."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote, unquote

from tunebench.errors import UsageError

UNSEEN = (
    r"\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e007f"
)
"""Controls, line separators, marks of direction, characters without width, halves of characters."""
CONTROL = re.compile(rf"[\x00-\x08\x0b-\x1f{UNSEEN}]")
"""What acts on a terminal or hides in a text; not the tab and the end of a line."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What the texts begin with that spreadsheets compute."""
NAME = re.compile(rf"[^\x00-\x1f{UNSEEN}]{{1,1000}}")
"""What the name of a data set, network or class in a file may be."""


LONGEST_PART, KEPT_OF_PART = 200, 120
"""Bytes of a component of a path, of which most file systems allow 255; how many of them a hashed one keeps."""
HASHED = "="
"""Before the hash of a name; quoting leaves no such sign."""


def printable(text: str) -> str:
    """``text`` with everything that is `CONTROL` written as a backslash escape: the door of all that is printed."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def inert(value: Any) -> Any:
    """``value``, with an apostrophe before a text that a spreadsheet would take for a formula; numbers stay."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def one_line(text: str) -> str:
    """``text``, printable, with a space for every run of white space."""
    return printable(" ".join(text.split()))


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters: a long one keeps its head and its tail."""
    gap = " ... "
    head = (width - len(gap)) // 2
    return text if len(text) <= width else text[:head] + gap + text[len(text) - (width - len(gap) - head) :]


def said(exc: BaseException) -> str:
    """An exception as one line of at most 300 characters: its type and its text."""
    return cut(" ".join(f"{type(exc).__name__}: {exc}".rstrip(": ").split()), 300)


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


def spelt_out(patterns: Iterable[str], known: Iterable[str], unknown: Callable[[str], UsageError]) -> list[str]:
    """``patterns`` in their order without repeats, each glob that matches ``known`` names replaced by them.

    What matches nothing stays as it is, for whoever opens it: it may be a path. A glob without a path, which can be
    meant for nothing else, raises ``unknown(pattern)``.
    """
    names = sorted(known)
    found: list[str] = []
    for pattern in patterns:
        hits = [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]
        if not hits and ":" not in pattern and any(sign in pattern for sign in "*?["):
            raise unknown(pattern)
        found += hits or [pattern]
    return list(dict.fromkeys(found))


def path_part(name: str) -> str:
    """``name`` as one component of a path, reversible by `name_of` unless it `is_hashed`; refuses what would leave it.

    One that is too long for a file system, and in other scripts that is soon, keeps its head and gets a hash.
    """
    if name in ("", ".", ".."):
        raise UsageError(f"{name!r} cannot be used as a name")
    try:
        part = quote(name, safe="")
    except UnicodeEncodeError as exc:
        raise UsageError(f"{name!r} cannot be used as a name: it is not UTF-8") from exc
    if len(part) <= LONGEST_PART:
        return part
    return f"{part[:KEPT_OF_PART]}{HASHED}{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def is_hashed(part: str) -> bool:
    """Whether `path_part` has shortened a name to ``part``, so that only the file itself knows it."""
    return HASHED in part


def name_of(part: str) -> str:
    """The name that `path_part` turned into ``part``."""
    return unquote(part)


def seed_of(*names: object) -> int:
    """A seed in [0, 2**31) that depends on the names alone, whatever the order of work."""
    text = "\x1f".join(map(str, names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
