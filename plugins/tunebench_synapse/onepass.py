"""The numba kernels behind `kernel.absorb`; importing this module imports numba.

Most activations decide nothing: with m the k-th smallest ratio of a neuron so far, one on sample s may enter the k
smallest only if ``gap[s] <= m * V``. So the samples with the smallest gaps come first, which makes m small; then a
chunk of samples that fits the cache is read for what is needed anyway, who fires and the largest V of each neuron,
and the largest ``m * V`` of a tile of neurons tells which samples of the chunk to look at in it: hardly any.

These compares are exact although they round, to the precision of the activations: rounding is monotonic, so that
``gap < m * V`` implies ``gap <= m * V`` after it. What passes is divided in float64. The result is that of the torch
path, bit by bit.
"""

# ruff: noqa: ANN001, ANN201 - numba infers the types and compiles one version for each

from __future__ import annotations

import numpy as np
from numba import njit

from tunebench_synapse.compiling import OPTIONS, Compiled

CHUNK, LEAST = 1 << 17, 64
"""Bytes of activations per chunk, which stay in the second cache, and the fewest samples that pay for its bounds."""
TILE = 128
"""Neurons that are looked at together once one of them may have a smaller ratio."""


def read_samples(logits, labels, targets, group_of, gaps, group):
    """Fill ``group`` (n,) and ``gaps`` (T, n), NaN where a sample is not of that target's ``D_c``.

    The group of a sample that is right is that of its label, ``group_of`` (C,): its position among the targets, or T;
    those that are wrong are in group T + 1. Returns False when a logit is infinite or NaN or a label out of range.
    """
    for i in range(len(labels)):
        label = labels[i]
        if label < 0 or label >= logits.shape[1]:
            return False
        own = logits[i, label]
        beaten = unusual = False
        for c in range(logits.shape[1]):
            value = logits[i, c]
            unusual |= value - value != 0  # infinite or NaN
            beaten |= (value > own) | ((value == own) & (c < label))  # the first of equals wins, as in argmax
        if unusual:
            return False
        group[i] = len(targets) + 1 if beaten else group_of[label]
        for t in range(len(targets)):
            outside = beaten or label == targets[t]
            gaps[t, i] = np.nan if outside else np.float64(own) - np.float64(logits[i, targets[t]])
    return True


@njit(**OPTIONS)
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


@njit(**OPTIONS)
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


@njit(**OPTIONS)
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


@njit(**OPTIONS, fastmath={"nnan", "nsz"})
def highest(top, kth):
    """The largest ``m * V`` of some neurons: no sample with a larger gap matters to them.

    A neuron that is silent here sets no bound, not even one without a ratio yet. So there is no NaN, and with that
    said the maximum is taken many at a time.
    """
    bound = kth.dtype.type(0)
    for h in range(len(top)):
        product = top[h] * kth[h] if top[h] > 0 else kth.dtype.type(0)
        bound = product if product > bound else bound
    return bound


@njit(**OPTIONS)
def insert(row, gap, smallest, kth):
    """Insert the ratios of one sample, ``row`` (n,), into ``smallest`` (n, K) where they belong, and lower ``kth``.

    ``kth`` holds the last of ``smallest``, rounded up. Returns whether any ratio was a candidate.
    """
    near = kth.dtype.type(gap)
    hit = np.int32(0)
    for h in range(len(row)):
        hit |= np.int32(row[h] * kth[h] >= near)
    if not hit:
        return False
    last = smallest.shape[1] - 1
    for h in range(len(row)):
        if row[h] * kth[h] >= near:
            ratio = gap / np.float64(row[h])
            if ratio < smallest[h, last]:
                p = last
                while p > 0 and smallest[h, p - 1] > ratio:
                    smallest[h, p] = smallest[h, p - 1]
                    p -= 1
                smallest[h, p] = ratio
                kth[h] = rounded_up(smallest[h, last], kth)
    return True


@njit(**OPTIONS)
def rounded_up(value, like):
    """A float64 in the precision of the array ``like``, not below what it was."""
    short = like.dtype.type(value)
    return short if short >= value else np.nextafter(short, like.dtype.type(np.inf))


def insert_rows(hidden, rows, gaps, smallest, kth):
    """`insert` the samples ``rows`` of a block (n, H) with ``gaps`` (n,), and take them out: their gap becomes NaN."""
    for i in rows:
        for a in range(0, len(kth), TILE):
            b = min(a + TILE, len(kth))
            insert(hidden[i, a:b], gaps[i], smallest[a:b], kth[a:b])
        gaps[i] = np.nan


@njit(**OPTIONS)
def insert_chunk(hidden, gaps, top, smallest, kth, bounds):
    """Insert what a chunk (n, H) with ``gaps`` (n,) to one target adds to its ``smallest`` (H, K)."""
    most = kth.dtype.type(0)
    for tile in range(len(bounds)):
        a = tile * TILE
        bounds[tile] = highest(top[a : a + TILE], kth[a : a + TILE])
        most = max(most, bounds[tile])
    for i in range(len(gaps)):
        near = kth.dtype.type(gaps[i])
        if near <= most:  # never of NaN
            for tile in range(len(bounds)):
                if near <= bounds[tile]:
                    a, b = tile * TILE, min((tile + 1) * TILE, len(kth))
                    if insert(hidden[i, a:b], gaps[i], smallest[a:b], kth[a:b]):
                        bounds[tile] = highest(top[a:b], kth[a:b])


def absorb_block(hidden, bits, gaps, group, smallest, kth, group_fires):
    """Add a block, ``hidden`` (n, H) with ``gaps`` (T, n) and ``group`` (n,), to ``smallest``, ``kth`` and fires.

    ``bits`` are the values of ``hidden`` as integers of the same size, ``group_fires`` (T + 1, H) in how many samples
    of each group a neuron is positive: one addition, however many targets there are. Returns False, with all in
    disorder, when an activation is unusable.
    """
    infinite = np.array([np.inf], hidden.dtype).view(bits.dtype)[0]
    n, neurons = hidden.shape
    chunk = max(LEAST, CHUNK // max(1, neurons * hidden.itemsize))
    order, start = np.empty(chunk, np.int32), np.empty(len(group_fires) + 2, np.int64)
    top = np.empty(neurons, bits.dtype)
    bounds = np.empty((neurons + TILE - 1) // TILE, hidden.dtype)
    for first in range(0, n, chunk):
        end = min(first + chunk, n)
        if not usable(hidden[first:end], bits[first:end], infinite):
            return False
        by_group(group[first:end], start, order)
        top[:] = 0
        for g in range(len(group_fires)):
            survey(bits[first:end], order[start[g] : start[g + 1]], group_fires[g], top)
        for t in range(len(gaps)):
            insert_chunk(hidden[first:end], gaps[t, first:end], top.view(hidden.dtype), smallest[t], kth[t], bounds)
    return True


def find_wrong(hidden, logits, labels, rows, group_of, bound):
    """Ratios of the samples ``rows`` (n,) to their own class that lie below ``bound`` (T, H): target, neuron, value.

    ``group_of`` (C,) is the position of a class among the targets, or T.
    """
    target, neuron, ratio = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64)
    found = 0
    for i in rows:
        t = group_of[labels[i]]
        if t == len(bound):
            continue
        gap = np.float64(logits[i].max()) - np.float64(logits[i, labels[i]])
        for h in range(hidden.shape[1]):
            v = np.float64(hidden[i, h])
            if v * bound[t, h] >= gap and v > 0 and gap / v < bound[t, h]:  # the first is rare, and quick to tell
                if found == len(ratio):
                    target, neuron = np.concatenate((target, target)), np.concatenate((neuron, neuron))
                    ratio = np.concatenate((ratio, ratio))
                target[found], neuron[found], ratio[found] = t, h, gap / v
                found += 1
    return target[:found], neuron[:found], ratio[:found]


def count_below(neuron, ratio, threshold, count):
    """Add to ``count`` (K, H) the ratios that lie below ``threshold`` (K, H) of their neuron."""
    for i in range(len(neuron)):
        h = neuron[i]
        for r in range(len(threshold)):
            count[r, h] += ratio[i] < threshold[r, h]


read = Compiled(read_samples)
add_rows = Compiled(insert_rows)
add_block = Compiled(absorb_block)
ratios_of_wrong = Compiled(find_wrong)
add_counts = Compiled(count_below)
