"""How values stand in tables: in their unit, on their side, without a sign that would act."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

from tunebench.glossary import column
from tunebench.naming import one_line


def align(columns: Sequence[str]) -> list[str]:
    """Names to the left, figures to the right."""
    return ["left" if name in ("tuner", "group") else "right" for name in columns]


def formatted(name: str, value: Any, escape: Callable[[str], str]) -> str:
    """A value of column ``name``; empty where there is none."""
    return "" if value is None else escape(column(name).shown(value))


def points(value: float) -> str:
    """A signed fraction in percentage points."""
    return f"{100 * value:+.2f}"


def escape_markdown(text: str) -> str:
    """``text`` without any sign that Markdown or embedded HTML would act on."""
    text = html.escape(one_line(text), quote=False)
    return "".join(f"\\{sign}" if sign in "\\`*_[]|#" else sign for sign in text)
