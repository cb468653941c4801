"""The CSV that asks a person for labels, and the same file filled in."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tunebench.errors import UsageError
from tunebench.naming import cut, inert, printable
from tunebench.own.door import require_regular
from tunebench.own.promise import Ints
from tunebench.results.store import write_text

LABEL = "label"
"""The column to fill in."""
LARGEST = 2**26
"""Bytes of a table: a million lines."""


def ask(
    file: Path, paths: Sequence[str], predictions: Sequence[Ints], rows: Sequence[int], names: Sequence[str]
) -> None:
    """Write a line per sample of ``rows``: its path, what every network takes it for, and an empty column.

    Names come from files and folders of anyone, and the table is opened in a spreadsheet: they are `shown` in it.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    tuned = ["tuned"] if len(predictions) == 2 else [f"tuned_{k}" for k in range(1, len(predictions))]
    lines.writerow(["path", "original", *tuned, LABEL])
    lines.writerows([shown(paths[row]), *(shown(names[found[row]]) for found in predictions), ""] for row in rows)
    write_text(file, text.getvalue())


def shown(name: str) -> str:
    """A name as it stands in the table: no control characters, nothing that a spreadsheet computes."""
    return str(inert(printable(name)))


def require_free(file: Path) -> None:
    """UsageError where `ask` would write over anything but its own table with no label in it."""
    if file.exists():
        try:
            free = not any(label for _, label in read(file))
        except UsageError:
            free = False
        if not free:
            raise UsageError(f"{file} exists, and is no table of --ask without labels; name another file")


def answered(file: Path, paths: Sequence[str], rows: Sequence[int], names: Sequence[str]) -> Ints:
    """Class numbers (N,) from a filled CSV, -1 where none was asked for; UsageError for what does not fit together."""
    found = read(file)
    wanted = {shown(paths[row]): row for row in rows}
    numbers = {shown(name): number for number, name in enumerate(names)} | {n: k for k, n in enumerate(names)}
    labels = np.full(len(paths), -1, dtype=np.int64)
    for line, (path, label) in enumerate(found, start=2):
        where, named = f"{file} line {line}", cut(repr(path), 200)
        if path not in wanted:
            raise UsageError(
                f"{where}: {named} was not asked for; fill in the file that --ask wrote for these networks"
            )
        if labels[wanted[path]] >= 0:
            raise UsageError(f"{where}: {named} stands there twice; keep one line")
        if not label:
            raise UsageError(f"{where}: {named} has no label; every line needs one")
        if label not in numbers:
            raise UsageError(f"{where}: {cut(repr(label), 80)} is no class; there are {', '.join(names[:12])}")
        labels[wanted[path]] = numbers[label]
    missing = [path for path, row in wanted.items() if labels[row] < 0]
    if missing:
        raise UsageError(f"{file} lacks {len(missing)} of {len(wanted)} samples, {missing[0]!r} for one")
    return labels


def read(file: Path) -> list[tuple[str, str]]:
    """Path and label of every line; UsageError for what is no such table."""
    require_regular(file, str(file), LARGEST)
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            lines = csv.DictReader(text)
            if not {"path", LABEL} <= set(lines.fieldnames or ()):
                raise UsageError(f"{file} has no columns path and {LABEL}; fill in the file that --ask wrote")
            if any(list(lines.fieldnames or ()).count(name) > 1 for name in ("path", LABEL)):
                raise UsageError(f"{file} has two columns of one name; fill in the file that --ask wrote")
            return [((line["path"] or "").strip(), (line[LABEL] or "").strip()) for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise UsageError(f"{file} cannot be read as CSV: {getattr(exc, 'strerror', None) or exc}") from exc
