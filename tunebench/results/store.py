"""One atomic file per finished cell, with a schema version and a checksum; nothing is loaded but JSON."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunebench.errors import StoreError
from tunebench.naming import NAME, is_hashed, name_of
from tunebench.results.cells import Cell
from tunebench.results.folder import claim, refuse_links, scratch_for, set_aside, sweep
from tunebench.results.records import CELL, check_lock, check_record, check_times
from tunebench.results.shapes import Damaged as Damaged
from tunebench.results.verified import Verified, digest_of

OURS = (
    "cells", "times", "suite.lock.json", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "index.html",
)  # fmt: skip
"""What a run writes into its folder."""
SCHEMA = 2
"""Raise it when the shape of a file changes; older files are set aside and computed again."""
LARGEST_FILE, MOST_VALUES = 2**26, 2_000_000
WRITTEN = re.compile(
    rb'\{"schema": (?P<schema>\d{1,9}), "checksum": "(?P<checksum>[0-9a-f]{64})", "content": (?P<content>\{.*\})\}\s*',
    re.DOTALL,
)
"""What `write_json` writes; the checksum is that of the content's bytes."""
SEED = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` with a checksum; the file appears complete or not at all. StoreError when it cannot."""
    body = json.dumps(content, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(body.encode()).hexdigest()
    write_text(path, f'{{"schema": {SCHEMA}, "checksum": "{digest}", "content": {body}}}\n')


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, see `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically: temporary file, fsync, rename. StoreError when it cannot be done."""
    if path.exists() and not path.is_file():  # the rename would put a file in the place of a device
        raise StoreError(f"cannot write {path}: it is no regular file; choose another")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = scratch_for(path)
        file = scratch.open("xb")  # with the rights that the user's umask gives
        try:
            with file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise StoreError(f"cannot write {path}: {exc.strerror or exc}; free space or choose another -o OUT") from exc


def read_json(path: Path) -> dict[str, Any]:
    """Content of a file that `write_json` wrote; `Damaged` when it is anything else."""
    return sound_content(raw_bytes(path))


def raw_bytes(path: Path) -> bytes:
    """The bytes of a regular file of reasonable size; `Damaged` when it is anything else."""
    try:
        if not path.is_file():
            raise Damaged("not a regular file")
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except OSError as exc:
        raise Damaged(f"not readable ({exc.strerror or type(exc).__name__})") from exc
    if len(raw) > LARGEST_FILE:
        raise Damaged(f"larger than {LARGEST_FILE / 2**20:.0f} MiB")
    if raw.count(b",") > MOST_VALUES:  # each takes a hundred bytes once it is read
        raise Damaged(f"more than {MOST_VALUES:,} values")
    return raw


def sound_content(raw: bytes) -> dict[str, Any]:
    """Content of bytes that `write_json` wrote, checksum checked; `Damaged` when they are anything else."""
    match = WRITTEN.fullmatch(raw)
    if match is None:
        raise Damaged("not a tunebench file")
    if match["schema"] != str(SCHEMA).encode():
        raise Damaged(f"written with schema {match['schema'].decode()[:20]}, this version reads {SCHEMA}")
    if hashlib.sha256(match["content"]).hexdigest().encode() != match["checksum"]:
        raise Damaged("checksum does not match")
    try:
        content: dict[str, Any] = json.loads(match["content"].decode("utf-8"), parse_constant=reject)
    except (ValueError, RecursionError) as exc:
        raise Damaged(f"not readable as JSON ({type(exc).__name__})") from exc
    return content


def reject(constant: str) -> None:
    """JSON has no NaN or infinity."""
    raise ValueError(constant)


class Store:
    """The folder OUT: ``cells/``, ``times/``, ``suite.lock.json`` and the rendered leaderboards."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.verified = Verified(out)

    def path(self, folder: str, cell: Cell) -> Path:
        """Where the cell's file lies in ``cells`` or ``times``."""
        return self.out / folder / cell.path

    def put(self, folder: str, cell: Cell, content: dict[str, Any]) -> None:
        """Write the file of ``cell`` in ``cells`` or ``times``; never outside OUT, whatever links there are in it."""
        path = self.path(folder, cell)
        if not path.parent.resolve().is_relative_to(self.out.resolve()):
            raise StoreError(f"{path.parent} is a link that leaves {self.out}; choose another -o OUT")
        write_json(path, content)

    def get(self, folder: str, cell: Cell) -> dict[str, Any] | None:
        """The content of the cell's file, None if there is none; `Damaged` if it is unusable."""
        path = self.path(folder, cell)
        if not os.path.lexists(path):
            return None
        raw = raw_bytes(path)
        digest = digest_of(f"{folder}/{cell.path}", raw)
        if self.verified.holds(digest):
            content: dict[str, Any] = json.loads(raw)["content"]
            return content
        content = sound_content(raw)
        if folder == "cells":
            check_record(content, cell)
        else:
            check_times(content)
        self.verified.seen.add(digest)
        return content

    def remember(self) -> None:
        """Note in the cache which files were sound, after all have been read; silent where it cannot be written."""
        text = self.verified.text
        if text is not None:
            with contextlib.suppress(StoreError):
                write_text(self.verified.path, text)

    def cells(self) -> Iterator[tuple[Cell, Path]]:
        """Every cell that has a file, in sorted order, read from the paths alone."""
        root = self.out / "cells"
        for path in sorted(root.glob("*/*/*/*/*.json")):
            parts = path.relative_to(root).with_suffix("").parts
            if any(map(is_hashed, parts)):
                yield from self.hashed(path)
                continue
            dataset, model, target, tuner, seed = map(name_of, parts)
            named = all(NAME.fullmatch(name) and name not in (".", "..") for name in (dataset, model, target, tuner))
            if named and SEED.fullmatch(seed):
                cell = Cell(dataset, model, target, tuner, int(seed))
                if root / cell.path == path:
                    yield cell, path

    def hashed(self, path: Path) -> Iterator[tuple[Cell, Path]]:
        """The cell of a file whose path says too little: as the file says, if it belongs there."""
        try:
            found: Any = read_json(path).get("cell")
            CELL(found, "cell")
            cell = Cell(*(found[name] for name in Cell.__dataclass_fields__))
        except Damaged:
            return
        if self.out / "cells" / cell.path == path:
            yield cell, path

    def set_aside(self, folder: str, cell: Cell) -> Path:
        """Rename the cell's unusable file so that it is neither read nor lost; returns its new place."""
        return set_aside(self.path(folder, cell))

    def lock(self) -> dict[str, Any] | None:
        """The resolved suite of this folder, None before its first run."""
        if not os.path.lexists(self.lock_path):
            return None
        try:
            content = read_json(self.lock_path)
            check_lock(content)
        except Damaged as exc:
            raise StoreError(f"{self.lock_path}: {exc}; delete it or choose another -o OUT") from exc
        return content

    @property
    def lock_path(self) -> Path:
        """Where the resolved suite lies."""
        return self.out / "suite.lock.json"

    def write_lock(self, content: dict[str, Any]) -> None:
        """Write the resolved suite."""
        write_json(self.lock_path, content)

    def examine(self) -> None:
        """StoreError for a folder that is not ours, or that has links in it; to be asked before anything is changed."""
        refuse_links(self.out, OURS)
        if next(self.cells(), None) is None:
            claim(self.out, (self.lock_path.name, self.lock_path.with_suffix(".damaged").name))

    def prepare(self) -> None:
        """Make the folder, and clear away what killed runs left; StoreError when it cannot be written."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.out):
                pass
            sweep(self.out, ("cells", "times"))
        except OSError as exc:
            raise StoreError(f"cannot write {self.out}: {exc.strerror or exc}; choose another -o OUT") from exc
