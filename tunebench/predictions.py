"""Per-image predictions as text inside a cell's record; no torch."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tunebench.metrics import Ints


def pack(values: Ints, reference: Ints) -> str:
    """Class indices (N,) as text: the differences to ``reference``, mostly zero, compressed."""
    delta = (values.astype(np.int64) - reference.astype(np.int64)) % 2**16
    return base64.b85encode(zlib.compress(delta.astype("<u2").tobytes(), 9)).decode()


def unpack(text: str, reference: Ints) -> Ints:
    """The inverse of `pack`."""
    delta = np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype="<u2").astype(np.int64)
    return (delta + reference) % 2**16


def predictions_of(record: Mapping[str, Any], variant: str, budget: str) -> tuple[Ints, Ints, Ints]:
    """Labels, the original's and the tuned network's predictions on test, each (N,) int64, from a cell's record."""
    count = len(zlib.decompress(base64.b85decode(record["labels"]))) // 2
    labels = unpack(record["labels"], np.zeros(count, dtype=np.int64))
    original = unpack(record["predictions"], labels)
    return labels, original, unpack(record["points"][variant][budget]["predictions"], original)
