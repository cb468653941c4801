"""Per-image predictions as text inside a cell's record; no torch."""

from __future__ import annotations

import base64
import functools
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tunebench.results.metrics import Ints

MOST = 2_000_000
"""Predictions in one record; a text that unpacks to more is refused before it fills the memory."""


def pack(values: Ints, reference: Ints) -> str:
    """Class indices (N,) as text: the differences to ``reference``, mostly zero, compressed."""
    delta = (values.astype(np.int64) - reference.astype(np.int64)) % 2**16
    return base64.b85encode(zlib.compress(delta.astype("<u2").tobytes(), 9)).decode()


def unpack(text: str, reference: Ints | None = None) -> Ints:
    """The inverse of `pack`; without a reference the differences themselves. ValueError when it is not one."""
    delta = differences(text)
    if reference is None:
        return delta
    if len(delta) != len(reference):
        raise ValueError(f"{len(delta)} predictions for {len(reference)} test samples")
    return (delta + reference) % 2**16


@functools.lru_cache(maxsize=64)  # a block's labels and originals stand in the records of all its tuners
def differences(text: str) -> Ints:
    """The differences (N,) that `pack` stored, read-only; ValueError when there are none in ``text``."""
    decoder = zlib.decompressobj()
    try:
        raw = decoder.decompress(base64.b85decode(text), 2 * MOST)
    except zlib.error as exc:
        raise ValueError(f"predictions do not unpack: {exc}") from exc
    if not decoder.eof or len(raw) % 2:
        raise ValueError(f"predictions are cut off, or more than {MOST:,}")
    delta = np.frombuffer(raw, dtype="<u2").astype(np.int64)
    delta.flags.writeable = False
    return delta


def predictions_of(record: Mapping[str, Any], variant: str, budget: str) -> tuple[Ints, Ints, Ints]:
    """Labels, the original's and the tuned network's predictions on test, each (N,) int64, from a cell's record."""
    labels = unpack(record["labels"])
    original = unpack(record["predictions"], labels)
    return labels, original, unpack(record["points"][variant][budget]["predictions"], original)
