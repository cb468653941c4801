"""Stratified splits that depend on the labels and a seed alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tunebench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


def holdout(y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Split labels y (N,) into training and validation rows, both sorted int64.

    Validation is exactly N // 6 rows where N >= 10,000 (MNIST: 50,000 and 10,000) and N // 3 below, every
    class in proportion. Independent of the global random state. Raises `DataError` as `stratified` does.
    """
    import torch  # not for a list of names

    share = 6 if len(y) >= 10_000 else 3
    kept, held = stratified(y.cpu().numpy(), len(y) // share, seed)
    return torch.from_numpy(kept), torch.from_numpy(held)


def stratified(y: np.ndarray, held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split labels y (N,) into N - ``held_out`` and ``held_out`` rows, both sorted int64.

    Classes share the held-out rows by largest remainder, with at least one row of each class on either side;
    `DataError` where that cannot be.
    """
    if not len(y):
        raise DataError("cannot split 0 samples; add samples")
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < 2:
        label = classes[counts.argmin()]
        raise DataError(f"class {label} has {counts.min()} sample, too few to split; give it at least 2 or drop it")
    if not len(classes) <= held_out <= len(y) - len(classes):
        raise DataError(
            f"cannot split {len(y)} samples of {len(classes)} classes so that both parts "
            f"({len(y) - held_out} and {held_out} samples) hold every class; add samples"
        )
    exact = counts * held_out / len(y)
    take = np.clip(np.floor(exact), 1, counts - 1)
    while gap := held_out - take.sum():
        step = np.sign(gap)
        fits = (take + step >= 1) & (take + step < counts)
        take[np.argmax(np.where(fits, step * (exact - take), -np.inf))] += step
    rng = np.random.default_rng(seed)
    held = np.zeros(len(y), dtype=bool)
    for label, size in zip(classes, take.astype(int), strict=True):
        held[rng.permutation(np.flatnonzero(y == label))[:size]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
