"""What words, columns and statuses mean: one source (glossary.toml) for ``explain``, docs, legends and tooltips."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

SECTIONS = {
    "terms": "Words",
    "variants": "Variants",
    "statuses": "Statuses",
    "columns": "Columns of leaderboard.csv",
    "figures": "Columns and headings elsewhere",
}
"""Tables of glossary.toml and their titles, in reading order."""

UNITS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "name": ("text", str),
    "percent": ("fraction, shown in %", lambda v: f"{100 * v:.2f}"),
    "points": ("fraction, shown in signed points", lambda v: f"{100 * v:+.2f}"),
    "share": ("fraction, shown in whole %", lambda v: f"{100 * v:.0f} %"),
    "fine share": ("fraction, shown in %", lambda v: f"{100 * v:.2f} %"),
    "count": ("number", lambda v: f"{v:,.0f}"),
    "mean": ("number", lambda v: f"{v:.1f}"),
    "rank": ("whole number", str),
    "p": ("p value", lambda v: f"{v:.3f}"),
    "scientific": ("number", lambda v: f"{v:.1e}"),
    "ratio": ("multiple of the original's", lambda v: f"{v:.2f}x"),
    "seconds": ("seconds", lambda v: f"{v:.2f}"),
    "microseconds": ("microseconds", lambda v: f"{v:.1f}"),
}
"""Unit of a column: how the value is stored, in words, and how a table shows it."""


@dataclass(frozen=True)
class Entry:
    """One word."""

    name: str
    section: str
    """One of `SECTIONS`."""
    text: str
    also: tuple[str, ...] = ()
    """Other words for it."""
    heading: str = ""
    """What a table puts above the column; columns only, like the next two."""
    unit: str = "name"
    with_variant: str | None = None
    """What follows a variant's name in that variant's heading; None means the heading itself."""

    @property
    def variant(self) -> str:
        """Which variant a column is of; plain where the glossary lists the column itself."""
        return "plain" if self.name in entries()["columns"] else self.name.rpartition("_")[2]

    def sentence(self) -> str:
        """Name, kind and meaning in one line."""
        kind = {"columns": f"column, {UNITS[self.unit][0]}. ", "statuses": "status. ", "variants": "variant. "}
        return f"{self.name}: {kind.get(self.section, '')}{self.text}"

    def shown(self, value: Any) -> str:
        """A column's value as a table shows it."""
        return UNITS[self.unit][1](value)


@cache
def entries() -> dict[str, dict[str, Entry]]:
    """All entries by section and name."""
    found = tomllib.loads(resources.files("tunebench").joinpath("glossary.toml").read_text(encoding="utf-8"))
    return {
        section: {name: entry(section, name, fields) for name, fields in found[section].items()} for section in SECTIONS
    }


def entry(section: str, name: str, fields: dict[str, Any]) -> Entry:
    """An entry of the file; a column's heading is its name where none is given."""
    also = tuple(fields.pop("also", ()))
    heading = fields.pop("heading", name if section == "columns" else "")
    return Entry(name, section, also=also, heading=heading, **fields)


@cache
def column(name: str) -> Entry:
    """What a column holds; ``ta_gain_shifted`` is ``ta_gain`` of the variant ``shifted``. KeyError for no column."""
    columns = entries()["columns"]
    if name in columns:
        return columns[name]
    base, _, variant = name.rpartition("_")
    if base not in columns or variant not in entries()["variants"]:
        raise KeyError(name)
    plain = columns[base]
    tail = plain.heading if plain.with_variant is None else plain.with_variant
    text = f"{plain.text} Variant: {variant}."
    return Entry(name, "columns", text, heading=f"{variant} {tail}".strip(), unit=plain.unit)


def lookup(word: str) -> list[Entry]:
    """Every entry whose name, other name or heading is ``word``, letter case aside."""
    wanted = word.casefold().strip()
    found = [
        entry
        for section in entries().values()
        for entry in section.values()
        if wanted in (name.casefold() for name in (entry.name, *entry.also, entry.heading) if name)
    ]
    if not found:
        variants = [name for name in entries()["variants"] if name != "plain"]
        derived = [column(f"{name}_{variant}") for name in entries()["columns"] for variant in variants]
        called = [entry for entry in derived if wanted == entry.heading.casefold()]
        found = called or [entry for entry in derived if wanted.replace(" ", "_") == entry.name]
        found += [entries()["variants"][entry.variant] for entry in found[:1]]
    return found


def words() -> list[str]:
    """Everything that `lookup` knows."""
    listed = [entry for section in entries().values() for entry in section.values()]
    return [name for entry in listed for name in (entry.name, *entry.also)]


def legend(columns: Iterable[str]) -> list[tuple[str, str]]:
    """Heading and meaning of every column that is more than a name, then of the variants among them."""
    listed = [column(name) for name in columns if name not in ("tuner", "dataset", "model")]
    variants = dict.fromkeys(entry.variant for entry in listed if entry.variant != "plain")
    described = [(name, entries()["variants"][name].text) for name in variants]
    return [(entry.heading, entry.text) for entry in listed if entry.variant == "plain"] + described


def as_markdown() -> str:
    """The page docs/glossary.md."""
    parts = [
        "# Glossary\n\nMade by `tunebench explain --markdown`. `tunebench explain WORD` shows one entry, tuners "
        "included.\n"
    ]
    for section, title in SECTIONS.items():
        body = columns_table() if section == "columns" else described(section)
        parts.append(f"## {title}\n\n{body}\n")
    return "\n".join(parts)


def described(section: str) -> str:
    """One paragraph for every entry."""
    paragraphs = []
    for entry in entries()[section].values():
        also = f" ({', '.join(entry.also)})" if entry.also else ""
        paragraphs.append(f"**{entry.name}**{also}: {entry.text}\n")
    return "\n".join(paragraphs)


def columns_table() -> str:
    """Every column of the CSV with its unit and meaning."""
    lines = ["| column | in tables | stored as | meaning |", "|---|---|---|---|"]
    for entry in entries()["columns"].values():
        heading = "" if entry.heading == entry.name else entry.heading
        lines.append(f"| `{entry.name}` | {heading} | {UNITS[entry.unit][0]} | {entry.text} |")
    variants = ", ".join(f"`{name}`" for name in entries()["variants"] if name != "plain")
    return "\n".join([*lines, "", f"A column that ends in {variants} is the same figure of that variant.\n"])
