"""One atomic file per finished cell, with a schema version and a checksum; nothing is loaded but JSON."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunebench.cells import STATUSES, Cell
from tunebench.errors import StoreError
from tunebench.naming import name_of

SCHEMA = 1


class Damaged(Exception):
    """A file of the store that cannot be used; its text says why."""


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` with a checksum; the file appears complete or not at all. StoreError when it cannot."""
    body = json.dumps(content, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(body.encode()).hexdigest()
    write_text(path, f'{{"schema": {SCHEMA}, "checksum": "{digest}", "content": {body}}}\n')


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically: temporary file, fsync, rename."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(scratch, 0o644)
            os.replace(scratch, path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise StoreError(f"cannot write {path}: {exc.strerror or exc}; free space or choose another -o OUT") from exc


def read_json(path: Path) -> dict[str, Any]:
    """Content of a file that `write_json` wrote; `Damaged` when it is anything else."""
    try:
        wrapper = json.loads(path.read_text(encoding="utf-8"), parse_constant=reject)
    except (OSError, ValueError, RecursionError) as exc:
        raise Damaged(f"not readable as JSON ({type(exc).__name__})") from exc
    if not isinstance(wrapper, dict) or set(wrapper) != {"schema", "checksum", "content"}:
        raise Damaged("not a tunebench file")
    if wrapper["schema"] != SCHEMA:
        raise Damaged(f"schema {wrapper['schema']!r}, expected {SCHEMA}")
    content = wrapper["content"]
    body = json.dumps(content, sort_keys=True)
    if not isinstance(content, dict) or hashlib.sha256(body.encode()).hexdigest() != wrapper["checksum"]:
        raise Damaged("checksum does not match")
    return content


def reject(constant: str) -> None:
    """JSON has no NaN or infinity."""
    raise ValueError(constant)


class Store:
    """The folder OUT: ``cells/``, ``times/``, ``suite.lock.json`` and the rendered leaderboards."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def put(self, folder: str, cell: Cell, content: dict[str, Any]) -> None:
        """Write the file of ``cell`` in ``cells`` or ``times``."""
        write_json(self.out / folder / cell.path, content)

    def get(self, folder: str, cell: Cell) -> dict[str, Any] | None:
        """The content of the cell's file, None if there is none; `Damaged` if it is unusable."""
        path = self.out / folder / cell.path
        if not path.exists():
            return None
        content = read_json(path)
        if folder == "cells":
            check_record(content, cell)
        return content

    def cells(self) -> Iterator[tuple[Cell, Path]]:
        """Every cell that has a file, in sorted order, read from the paths alone."""
        root = self.out / "cells"
        for path in sorted(root.glob("*/*/*/*/*.json")):
            parts = [name_of(part) for part in path.relative_to(root).with_suffix("").parts]
            if parts[-1].isdigit() and not path.name.startswith("."):
                dataset, model, target, tuner, seed = parts
                cell = Cell(dataset, model, target, tuner, int(seed))
                if root / cell.path == path:
                    yield cell, path

    def set_aside(self, folder: str, cell: Cell) -> Path:
        """Rename the cell's damaged file so that it is neither read nor lost; returns its new place."""
        path = self.out / folder / cell.path
        aside = path.with_suffix(".damaged")
        try:
            os.replace(path, aside)
        except OSError as exc:
            raise StoreError(f"cannot set aside {path}: {exc.strerror or exc}") from exc
        return aside

    def lock(self) -> dict[str, Any] | None:
        """The resolved suite of this folder, None before its first run."""
        path = self.out / "suite.lock.json"
        if not path.exists():
            return None
        try:
            return read_json(path)
        except Damaged as exc:
            raise StoreError(f"{path}: {exc}; delete it or choose another -o OUT") from exc

    def write_lock(self, content: dict[str, Any]) -> None:
        """Write the resolved suite."""
        write_json(self.out / "suite.lock.json", content)


def check_record(record: dict[str, Any], cell: Cell) -> None:
    """`Damaged` unless ``record`` is the record of ``cell``."""
    mine = {
        "dataset": cell.dataset,
        "model": cell.model,
        "target": cell.target,
        "tuner": cell.tuner,
        "seed": cell.seed,
    }
    if record.get("cell") != mine:
        raise Damaged("belongs to another cell")
    if record.get("status") not in STATUSES:
        raise Damaged(f"unknown status {record.get('status')!r}")
