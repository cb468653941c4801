"""The numba kernel behind `kernel.absorb`; importing this module imports numba.

Per activation V it does one multiply and compare. With m the k-th smallest ratio so far, ``gap / V < m`` is
``V > gap / m``; ``q`` holds 1 / m rounded down a little, so that ``V > q * gap`` lets a few candidates too
many pass and never one too few. Those that pass, a few per neuron over the whole table, are divided in
float64 and inserted. The result is that of the torch path, bit by bit. No fast-math: infinities and NaN must
compare as they should.
"""

# ruff: noqa: ANN001, ANN201 - numba infers the types and compiles one version for each

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numba import njit

CHUNK = 4096
"""Samples per chunk: bounds the table of gaps."""
TILE = 512
"""Neurons per tile: what the inner loops touch stays in the nearest cache."""
_LOG = logging.getLogger(__name__)


@njit(nogil=True, error_model="numpy")
def reciprocal(m, low):
    """1 / m rounded down, for the compare; 0 (all pass) below ``low``, inf (none passes) for m = 0."""
    if m == 0:
        return np.inf
    q = (1 / m) * (1 - 1e-6)
    return 0.0 if q < low else min(q, 1 / low)


@njit(nogil=True, error_model="numpy")
def read_logits(logits, i):
    """The largest logit of sample i, its class (the first of equals, as argmax), and whether all are finite."""
    top, best = logits[i, 0], 0
    nothing = top * 0  # NaN as soon as a logit is infinite or NaN
    for c in range(logits.shape[1]):
        value = logits[i, c]
        nothing += value * 0
        # Two selects, no branch: which class wins is hard to predict.
        more = value > top
        top = value if more else top
        best = c if more else best
    return top, best, nothing == 0


@njit(nogil=True, error_model="numpy")
def count_fires(row, fires, largest):
    """Add 1 to ``fires`` where the row is positive; False when a value is negative, NaN or infinite."""
    bad = np.int32(0)
    for h in range(len(row)):
        v = row[h]
        bad |= np.int32(not (v >= 0)) | np.int32(v > largest)
        fires[h] += np.int32(v > 0)
    return bad == 0


@njit(nogil=True, error_model="numpy")
def four_pass(row0, row1, row2, row3, q, g0, g1, g2, g3):
    """Whether V > q * gap anywhere in four rows: ``q`` is loaded once for the four."""
    hit = np.int32(0)
    for h in range(len(q)):
        x = q[h]
        hit |= np.int32(row0[h] > x * g0) | np.int32(row1[h] > x * g1)
        hit |= np.int32(row2[h] > x * g2) | np.int32(row3[h] > x * g3)
    return hit != 0


@njit(nogil=True, error_model="numpy")
def insert_row(row, q, gap, rounded, smallest, low):
    """Insert the row's ratios into ``smallest`` (H, K) where they belong; keeps ``q`` in step."""
    last = smallest.shape[1] - 1
    for h in range(len(row)):
        if row[h] > q[h] * rounded:
            ratio = gap / np.float64(row[h])
            if ratio < smallest[h, last]:
                p = last
                while p > 0 and smallest[h, p - 1] > ratio:
                    smallest[h, p] = smallest[h, p - 1]
                    p -= 1
                smallest[h, p] = ratio
                q[h] = reciprocal(smallest[h, last], low)


def one_pass(hidden, logits, labels, targets, smallest, fires, others_right, wrong, low):
    """Add all rows to ``smallest`` (T, H, K), ``fires`` (T, H), ``others_right`` (T,); fills ``wrong`` (N,).

    Returns False, with the state in disorder, when a value is unusable.
    """
    n, neurons = hidden.shape
    groups = len(targets) + 1
    largest = np.finfo(hidden.dtype).max
    q = np.empty((len(targets), neurons), hidden.dtype)
    for t in range(len(targets)):
        for h in range(neurons):
            q[t, h] = reciprocal(smallest[t, h, -1], low)
    # Firing is counted by class, the last group being the rest: one addition however many targets there are.
    group_of = np.full(logits.shape[1], len(targets))
    for t in range(len(targets)):
        group_of[targets[t]] = t
    # One more group takes what is not wanted: the wrong samples.
    group_fires = np.zeros((groups + 1, neurons), np.int32)
    group_right = np.zeros(groups + 1, np.int64)
    gaps = np.empty((CHUNK, len(targets)))
    rounded = np.empty((CHUNK, len(targets)), hidden.dtype)
    group = np.empty(CHUNK, np.int64)
    for first in range(0, n, CHUNK):
        size = min(CHUNK, n - first)
        for i in range(size):
            label = labels[first + i]
            top, best, finite = read_logits(logits, first + i)
            if not finite or label < 0 or label >= logits.shape[1]:
                return False
            right = best == label
            wrong[first + i] = not right
            group[i] = group_of[label] if right else groups
            group_right[group[i]] += 1
            for t in range(len(targets)):
                gap = np.float64(top) - np.float64(logits[first + i, targets[t]])
                gaps[i, t] = gap
                # No product with inf is less than an activation: such a sample is not of this D_c.
                outside = not right or label == targets[t]
                rounded[i, t] = np.inf if outside else 0.0 if gap < low else min(gap, 1 / low)
        for left in range(0, neurons, TILE):
            end = min(left + TILE, neurons)
            for i in range(0, size, 4):
                a, b, c = min(i + 1, size - 1), min(i + 2, size - 1), min(i + 3, size - 1)
                for r in range(i, c + 1):
                    if not count_fires(hidden[first + r, left:end], group_fires[group[r], left:end], largest):
                        return False
                row0, row1 = hidden[first + i, left:end], hidden[first + a, left:end]
                row2, row3 = hidden[first + b, left:end], hidden[first + c, left:end]
                for t in range(len(targets)):
                    f = rounded[:, t]
                    if four_pass(row0, row1, row2, row3, q[t, left:end], f[i], f[a], f[b], f[c]):
                        for r in range(i, c + 1):
                            row = hidden[first + r, left:end]
                            insert_row(row, q[t, left:end], gaps[r, t], f[r], smallest[t, left:end], low)
    for t in range(len(targets)):
        for g in range(groups):
            if g != t:
                others_right[t] += group_right[g]
                for h in range(neurons):
                    fires[t, h] += group_fires[g, h]
    return True


def find_below(hidden, gap, bound):
    """Neurons and values, row by row, of the ratios of hidden (N, H) and gap (N,) below ``bound`` (H,)."""
    neuron = np.empty(hidden.size, np.int64)
    ratio = np.empty(hidden.size)
    found = 0
    for i in range(hidden.shape[0]):
        for h in range(hidden.shape[1]):
            v = np.float64(hidden[i, h])
            if v > 0 and gap[i] / v < bound[h]:
                neuron[found], ratio[found] = h, gap[i] / v
                found += 1
    return neuron[:found].copy(), ratio[:found].copy()


def count_below(neuron, ratio, threshold, count):
    """Add to ``count`` (K, H) the ratios that lie below ``threshold`` (K, H) of their neuron."""
    for i in range(len(neuron)):
        h = neuron[i]
        for r in range(len(threshold)):
            count[r, h] += ratio[i] < threshold[r, h]


class Compiled:
    """A function compiled at its first call, its machine code kept on disk where there is a folder for it."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.code: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function."""
        if self.code is None:
            try:
                self.code = njit(nogil=True, error_model="numpy", cache=True)(self.function)
                return self.code(*arguments)
            except Exception as error:
                # No folder for the code, one that is full, a damaged file in it: all raise differently, and
                # before the code runs. An error of another kind comes up again below.
                _LOG.info("compiling without a cache on disk: %s", error)
                self.code = njit(nogil=True, error_model="numpy")(self.function)
        return self.code(*arguments)


add_samples = Compiled(one_pass)
ratios_below = Compiled(find_below)
add_counts = Compiled(count_below)
