"""Per-image predictions as text inside a cell's record; no torch."""

from __future__ import annotations

import base64
import functools
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tunebench.results.metrics import Ints

MOST = 2_000_000
"""Predictions in one record; a text that unpacks to more is refused before it fills the memory."""

DIGITS = np.full(256, np.nan)
"""Value of every letter of base 85; NaN for what is none."""
DIGITS[np.frombuffer(base64.b85encode(b"".join(n.to_bytes(4, "big") for n in range(85))), np.uint8)[4::5]] = range(85)


def pack(values: Ints, reference: Ints) -> str:
    """Class indices (N,) as text: the differences to ``reference``, mostly zero, compressed."""
    delta = (values.astype(np.int64) - reference.astype(np.int64)) % 2**16
    return base64.b85encode(zlib.compress(delta.astype("<u2").tobytes(), 9)).decode()


def unpack(text: str, reference: Ints | None = None) -> Ints:
    """The inverse of `pack`; without a reference the differences themselves. ValueError when it is not one."""
    delta = differences(text)
    if reference is None:
        return delta.astype(np.int64)
    if len(delta) != len(reference):
        raise ValueError(f"{len(delta)} predictions for {len(reference)} test samples")
    return (delta + reference) & 0xFFFF


@functools.lru_cache(maxsize=64)  # a block's labels and originals stand in the records of all its tuners
def differences(text: str) -> Ints:
    """The differences (N,) that `pack` stored, read-only; ValueError when there are none in ``text``."""
    decoder = zlib.decompressobj()
    try:
        raw = decoder.decompress(decode(text), 2 * MOST)
    except zlib.error as exc:
        raise ValueError(f"predictions do not unpack: {exc}") from exc
    if not decoder.eof or len(raw) % 2:
        raise ValueError(f"predictions are cut off, or more than {MOST:,}")
    return np.frombuffer(raw, dtype="<u2")


@functools.lru_cache(maxsize=256)
def digest(text: str) -> str:
    """Hex sha256 of what `pack` stored, however it was compressed."""
    return hashlib.sha256(differences(text).tobytes()).hexdigest()


def decode(text: str) -> bytes:
    """What `base64.b85decode` gives, which takes several times as long; ValueError for what it refuses too."""
    digits = DIGITS[np.frombuffer(text.encode("ascii"), np.uint8)]
    missing = -len(digits) % 5
    groups = np.append(digits, np.full(missing, 84.0)).reshape(-1, 5)
    words = groups @ 85.0 ** np.arange(4, -1, -1)  # exact: five digits stay below 2**33
    if not (words < 2**32).all():
        raise ValueError("predictions are not base 85")
    raw: bytes = words.astype(">u4").tobytes()
    return raw[: len(raw) - missing]


def predictions_of(record: Mapping[str, Any], variant: str, budget: str) -> tuple[Ints, Ints, Ints]:
    """Labels, the original's and the tuned network's predictions on test, each (N,) int64, from a cell's record."""
    labels = unpack(record["labels"])
    original = unpack(record["predictions"], labels)
    return labels, original, unpack(record["points"][variant][budget]["predictions"], original)
