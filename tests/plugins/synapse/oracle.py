"""Algorithm 1 of Xu & Wang 2026 in plain Python, with the choices that docs/methods.md, section 2, settles.

Slow on purpose: it is what the fast paths are held against.
"""

from __future__ import annotations

import math


def evaluate_literally(
    hidden: list[list[float]], logits: list[list[float]], labels: list[int], target: int, k: int
) -> tuple[list[float], list[int]]:
    """Threshold and count of every neuron, from nested lists of Python floats (float64)."""
    samples = range(len(labels))
    neurons = len(hidden[0]) if hidden else 0
    top = [max(row) for row in logits]
    predicted = [row.index(largest) for row, largest in zip(logits, top, strict=True)]
    wrong = [s for s in samples if labels[s] == target and predicted[s] != target]
    right = [s for s in samples if labels[s] != target and predicted[s] == labels[s]]
    thresholds, counts = [], []
    for i in range(neurons):

        def ratio(s: int, i: int = i) -> float:
            return (top[s] - logits[s][target]) / hidden[s][i] if hidden[s][i] > 0 else math.inf

        threshold = 0.0
        firing = sum(hidden[s][i] > 0 for s in right)
        if k <= len(right) and firing >= max(k, len(right) / 1000):
            m = sorted(ratio(s) for s in right)[k - 1]
            if 0 < m < math.inf:
                threshold = m * (1 - 1e-4)
        thresholds.append(threshold)
        counts.append(sum(ratio(s) < threshold for s in wrong))
    return thresholds, counts


def evaluate_signed_literally(
    hidden: list[list[float]], logits: list[list[float]], labels: list[int], target: int, k: int
) -> tuple[list[list[float]], list[list[int]]]:
    """Thresholds and counts of the positive weights, then of the negative ones: V's positive part, then that of -V."""
    sides = [[[max(0.0, sign * value) for value in row] for row in hidden] for sign in (1, -1)]
    found = [evaluate_literally(side, logits, labels, target, k) for side in sides]
    return [threshold for threshold, _ in found], [count for _, count in found]
