"""scikit-learn's digits under a linear network of a seed; it is not trained, which costs benchopt nothing."""

import numpy as np
from benchopt import BaseDataset
from sklearn.datasets import load_digits


class Dataset(BaseDataset):
    name = "digits"
    parameters = {"seed": [0, 1, 2]}  # noqa: RUF012

    def get_data(self):
        """Logits (1797, 10) and labels (1797,)."""
        x, y = load_digits(return_X_y=True)
        return {"logits": x @ np.random.default_rng(self.seed).normal(size=(64, 10)), "labels": y}
