"""How values stand in tables: in their unit, on their side, without a sign that would act."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import tabulate

from tunebench.glossary import column
from tunebench.naming import one_line

LETTERS = "ÆØŒßæøœŁł"
"""What LaTeX sets in its first font, besides ASCII and letters with an accent; see ``utf8enc.dfu``, ``ot1enc.dfu``."""
OGONEK = "\u0328"
"""The accent that its first font lacks."""


def align(columns: Sequence[str]) -> list[str]:
    """Names to the left, figures to the right."""
    return ["left" if name in ("tuner", "group") else "right" for name in columns]


def formatted(name: str, value: Any, escape: Callable[[str], str]) -> str:
    """A value of column ``name``; empty where there is none."""
    return "" if value is None else escape(column(name).shown(value))


def points(value: float) -> str:
    """A signed fraction in percentage points."""
    return f"{100 * value:+.2f}"


def percent(share: float) -> str:
    """A share in percent, without the sign, with all its digits: a promise of 99.5 is none of 100."""
    return f"{100 * share:.12g}"


def escape_markdown(text: str) -> str:
    """``text`` without any sign that Markdown or embedded HTML would act on."""
    text = html.escape(one_line(text), quote=False)
    return "".join(f"\\{sign}" if sign in "\\`*_[]|#" else sign for sign in text)


def escape_latex(text: str) -> str:
    """``text`` without any sign that LaTeX would act on."""
    return "".join(tabulate.LATEX_ESCAPE_RULES.get(sign, sign) for sign in settable(text))


def settable(text: str) -> str:
    """``text`` on one line, with the number of every sign that pdfLaTeX would stop at for want of a package."""
    return "".join(sign if in_first_font(sign) else f"U+{ord(sign):04X}" for sign in one_line(text))


def in_first_font(sign: str) -> bool:
    """Whether LaTeX can set a sign without any package: ASCII, or a letter of it with one accent."""
    base, *accents = list(unicodedata.normalize("NFD", sign))
    return sign in LETTERS or (base.isascii() and len(accents) < 2 and OGONEK not in accents)
