"""The numba kernel behind `kernel.absorb`; importing this module imports numba.

Most activations decide nothing: with m the k-th smallest ratio of a neuron so far, one on sample s may enter the k
smallest only if ``gap[s] <= m * V``, and as m falls that soon leaves a few samples with small gaps. So a chunk of
samples that fits the cache is read once for what all need, who fires and the largest V of each neuron; then the
largest ``m * V`` of a tile of neurons tells which samples to look at in it, and most chunks are done without.

These compares are exact although they round: float64 rounds monotonically, so that ``gap / V < m`` implies
``gap <= m * V`` after rounding too. The result is that of the torch path, bit by bit. No fast-math: infinities and
NaN must compare as they should.
"""

# ruff: noqa: ANN001, ANN201 - numba infers the types and compiles one version for each

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numba import njit

CHUNK = 1 << 18
"""Bytes of activations per chunk: they stay in the second cache while they are read again."""
BLOCK = 1 << 16
"""Samples whose gaps are held at a time."""
TILE = 64
"""Neurons that are looked at together once one of them may have a smaller ratio."""
NEAREST, SAMPLE = 64, 4096
"""Samples for each rank that are looked at first, and how many gaps tell which those are."""
_LOG = logging.getLogger(__name__)


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
def read_samples(logits, labels, targets, group_of, gaps, group, wrong):
    """Fill ``wrong`` (n,), ``group`` (n,) and ``gaps`` (T, n), NaN where a sample is not of that target's ``D_c``.

    The group is that of the label, ``group_of`` (C,); one more takes the samples that are wrong. Returns False when a
    logit is infinite or NaN or a label out of range.
    """
    for i in range(len(labels)):
        label = labels[i]
        top, best, finite = read_logits(logits, i)
        if not finite or label < 0 or label >= logits.shape[1]:
            return False
        right = best == label
        wrong[i] = not right
        group[i] = group_of[label] if right else len(targets) + 1
        for t in range(len(targets)):
            gap = np.float64(top) - np.float64(logits[i, targets[t]])
            gaps[t, i] = gap if right and label != targets[t] else np.nan
    return True


@njit(nogil=True, error_model="numpy")
def usable(hidden, bits, infinite):
    """Whether no value is negative, NaN or infinite; ``bits`` are the values as integers, which order alike.

    Reads the chunk in the order in which it lies in memory: the columns are then read from the cache.
    """
    flat = bits.reshape(-1)
    most = signs = bits.dtype.type(0)
    for i in range(len(flat)):
        most = max(most, flat[i])
        signs |= flat[i]
    if most >= infinite:
        return False
    if signs < 0:  # a negative value, or -0.0
        values = hidden.reshape(-1)
        for i in range(len(values)):
            if not values[i] >= 0:
                return False
    return True


@njit(nogil=True, error_model="numpy")
def by_group(group, start, order):
    """Row numbers ``order`` (n,), sorted by group; those of group g lie from ``start[g]`` to ``start[g + 1]``."""
    start[:] = 0
    for i in range(len(group)):
        start[group[i] + 1] += 1
    for g in range(1, len(start)):
        start[g] += start[g - 1]
    free = start.copy()
    for i in range(len(group)):
        order[free[group[i]]] = i
        free[group[i]] += 1


@njit(nogil=True, error_model="numpy")
def survey(bits, rows, fires, top):
    """Add to ``fires`` (H,) in how many rows a neuron is positive, and raise ``top`` (H,) to its largest value."""
    whole = len(rows) // 4 * 4
    for r in range(0, whole, 4):
        i, j, k, m = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
        for h in range(len(fires)):
            a, b, c, d = bits[i, h], bits[j, h], bits[k, h], bits[m, h]
            top[h] = max(max(max(a, b), max(c, d)), top[h])
            fires[h] += (np.int32(a > 0) + np.int32(b > 0)) + (np.int32(c > 0) + np.int32(d > 0))
    for r in range(whole, len(rows)):
        i = rows[r]
        for h in range(len(fires)):
            top[h] = max(bits[i, h], top[h])
            fires[h] += np.int32(bits[i, h] > 0)


@njit(nogil=True, error_model="numpy")
def highest(top, kth, products, bounds):
    """The largest ``m * V`` of each tile of neurons, ``bounds``, and of all: no sample with a larger gap matters."""
    for h in range(len(top)):
        # 0 times infinity, a neuron that is silent here and has no ratio yet, is no bound.
        products[h] = np.float64(top[h]) * kth[h] if top[h] > 0 else 0.0
    bits, bounds_bits = products.view(np.int64), bounds.view(np.int64)  # integers: their maximum is vectorised
    for tile in range(len(bounds)):
        bound = np.int64(0)
        for h in range(tile * TILE, min((tile + 1) * TILE, len(top))):
            bound = max(bound, bits[h])
        bounds_bits[tile] = bound
    return bounds.max() if len(bounds) else 0.0


@njit(nogil=True, error_model="numpy")
def insert(row, gap, smallest, kth):
    """Insert the ratios of one sample, ``row`` (n,), into ``smallest`` (n, K) where they belong, and lower ``kth``."""
    hit = np.int32(0)
    for h in range(len(row)):
        hit |= np.int32(np.float64(row[h]) * kth[h] >= gap)
    if not hit:
        return
    last = smallest.shape[1] - 1
    for h in range(len(row)):
        if np.float64(row[h]) * kth[h] >= gap:
            ratio = gap / np.float64(row[h])
            if ratio < kth[h]:
                p = last
                while p > 0 and smallest[h, p - 1] > ratio:
                    smallest[h, p] = smallest[h, p - 1]
                    p -= 1
                smallest[h, p] = ratio
                kth[h] = smallest[h, last]


@njit(nogil=True, error_model="numpy")
def insert_nearest(hidden, gaps, smallest, kth):
    """Insert the samples with the smallest ``gaps`` (n,) first, about `NEAREST` for each rank, and take them out.

    They hold nearly all of the smallest ratios: whatever comes later is measured against bounds that are tight.
    """
    step = max(1, len(gaps) // SAMPLE)
    sample = gaps[::step].copy()
    sample = sample[sample == sample]  # without NaN
    rank = NEAREST * smallest.shape[1] // step
    limit = np.partition(sample, rank)[rank] if rank < len(sample) else np.inf
    for i in range(len(gaps)):
        if gaps[i] <= limit:
            for left in range(0, len(kth), TILE):
                insert(hidden[i, left : left + TILE], gaps[i], smallest[left : left + TILE], kth[left : left + TILE])
            gaps[i] = np.nan


@njit(nogil=True, error_model="numpy")
def insert_chunk(hidden, gaps, top, smallest, kth, products, bounds):
    """Insert what a chunk (n, H) with ``gaps`` (n,) to one target adds to its ``smallest`` (H, K)."""
    most = highest(top, kth, products, bounds)
    for i in range(len(gaps)):
        if gaps[i] <= most:  # never of NaN
            for tile in range(len(bounds)):
                if gaps[i] <= bounds[tile]:
                    a, b = tile * TILE, min((tile + 1) * TILE, len(top))
                    insert(hidden[i, a:b], gaps[i], smallest[a:b], kth[a:b])


@njit(nogil=True, error_model="numpy")
def absorb_block(hidden, bits, gaps, group, smallest, kth, group_fires):
    """Add a block whose ``gaps`` (T, n) and ``group`` (n,) are known; returns False when an activation is unusable."""
    infinite = np.array([np.inf], hidden.dtype).view(bits.dtype)[0]
    n, neurons = hidden.shape
    chunk = max(4, CHUNK // max(1, neurons * hidden.itemsize))
    order, start = np.empty(chunk, np.int64), np.empty(len(group_fires) + 2, np.int64)
    top = np.empty(neurons, bits.dtype)
    products, bounds = np.empty(neurons), np.empty((neurons + TILE - 1) // TILE)
    for t in range(len(gaps)):
        insert_nearest(hidden, gaps[t], smallest[t], kth[t])
    for first in range(0, n, chunk):
        end = min(first + chunk, n)
        if not usable(hidden[first:end], bits[first:end], infinite):
            return False
        by_group(group[first:end], start, order)
        top[:] = 0
        for g in range(len(group_fires)):
            survey(bits[first:end], order[start[g] : start[g + 1]], group_fires[g], top)
        for t in range(len(gaps)):
            insert_chunk(
                hidden[first:end], gaps[t, first:end], top.view(hidden.dtype), smallest[t], kth[t], products, bounds
            )
    return True


def one_pass(hidden, bits, logits, labels, targets, smallest, fires, others_right, wrong):
    """Add all rows to ``smallest`` (T, H, K), ``fires`` (T, H), ``others_right`` (T,); fills ``wrong`` (N,).

    ``bits`` are the values of ``hidden`` (N, H) as integers of the same size. Returns False, with the state in
    disorder, when a value is unusable.
    """
    kth = smallest[:, :, -1].copy()
    # Firing is counted by class, the last group being the rest: one addition however many targets there are.
    groups = len(targets) + 1
    group_of = np.full(logits.shape[1], len(targets))
    for t in range(len(targets)):
        group_of[targets[t]] = t
    group_fires = np.zeros((groups, hidden.shape[1]), np.int32)
    gaps, group = np.empty((len(targets), BLOCK)), np.empty(BLOCK, np.int64)
    for first in range(0, len(labels), BLOCK):
        end = min(first + BLOCK, len(labels))
        block, size = slice(first, end), end - first
        if not read_samples(logits[block], labels[block], targets, group_of, gaps, group, wrong[block]):
            return False
        if not absorb_block(hidden[block], bits[block], gaps[:, :size], group[:size], smallest, kth, group_fires):
            return False
        for i in range(size):
            for t in range(len(targets)):
                others_right[t] += group[i] != t and group[i] != groups
    for t in range(len(targets)):
        for g in range(groups):
            if g != t:
                for h in range(hidden.shape[1]):
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
