"""scikit-learn's handwritten digits: real data that needs no download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tunebench.datasets.base import DatasetSource, Place, Raw, Split
from tunebench.datasets.splits import stratified

TEST_SAMPLES = 599
SPLIT_SEED = 0


class Digits(DatasetSource):
    """1,797 images (1, 8, 8) of 10 classes; a fixed stratified split into 1,198 and 599."""

    name = "digits"

    def load(self, split: Split, place: Place) -> Raw:
        """Grey levels 0..16 scaled to [0, 1], and digits 0..9."""
        table = _table()
        train, test = stratified(table[:, -1], TEST_SAMPLES, SPLIT_SEED)
        rows = table[train if split == "train" else test]
        return rows[:, :-1].reshape(-1, 1, 8, 8).astype(np.float32) / 16, rows[:, -1]


def _table() -> np.ndarray:
    """64 grey levels and the digit per row, (1797, 65) int64."""
    # Reading scikit-learn's own file takes milliseconds, importing its datasets module seconds.
    spec = find_spec("sklearn")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            return np.loadtxt(path, delimiter=",", dtype=np.int64)
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return np.column_stack([pixels, digits]).astype(np.int64)
