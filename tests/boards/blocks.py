"""Blocks of right and wrong predictions with known variances."""

import numpy as np

TARGET = [0]
ONE_CLASS = np.zeros(1000, int)


def block(seed=0, tuners=4, seeds=3, sizes=(200, 300), search=0.0):
    """Correct (T, S, N) with shared images, seed ups and downs, and per tuner and seed luck of sd ``search``."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    margin = rng.normal(1.3, 1, labels.size) + rng.normal(0, 0.4, (seeds, labels.size))
    margin = margin + rng.normal(0, 0.1, (seeds, 1)) + rng.normal(0, 0.3, (tuners, seeds, labels.size))
    luck = rng.normal(0, 1, (tuners, seeds, 1)) * np.reshape(search, (-1, 1, 1))
    return margin + luck * 5 > 0, labels
