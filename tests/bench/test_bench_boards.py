"""What a reader of results waits for: the statistics of a large board."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from references import alternate, note

from tunebench.boards import comparison, leaderboard
from tunebench.boards.statistics.crossed import select
from tunebench.boards.statistics.pairs import spread_of_pairs
from tunebench.boards.statistics.variance import spread

MNIST = Path(__file__).parents[2] / "leaderboards" / "mnist"
"""The largest published board: 17 tuners, 6 blocks, 5 seeds, 10,000 test images."""


def doubled():
    """The records of the board's blocks with every tuner twice: 34 tuners, 1,020 cells; block by block."""
    for block, found in leaderboard.complete_blocks(MNIST):
        yield block, {f"{name}-{copy}": records for name, records in found.items() for copy in (1, 2)}


def test_statistics_of_34_tuners(benchmark):
    """Ranks, intervals, groups and all pairwise tests of 34 tuners and 1,020 cells take at most 3 seconds."""
    work = []
    for block, found in doubled():
        rows = [leaderboard.row_of(block, name, records, 5, "0.2", {}) for name, records in found.items()]
        work.append((block, rows, found))

    def statistics():
        for block, rows, found in work:
            comparison.compare(block, rows, found, "0.2")

    statistics()
    start = time.perf_counter()
    statistics()
    seconds = time.perf_counter() - start
    benchmark.pedantic(statistics, rounds=3)
    assert seconds <= 3


def test_pairs_against_one_by_one(benchmark):
    """The variances of all pairs of 34 tuners take at most an eighth of the plain formula, pair by pair."""
    _, found = next(doubled())
    correct, _, labels = comparison.correctness(sorted(found), found, "plain", "0.2")
    values, strata = select(correct, labels, None)
    numbers = values.astype(np.float64)

    def one_by_one():
        for a in range(len(numbers) - 1):
            spread(numbers[a] - numbers[a + 1 :], strata)

    ratio = alternate(lambda: spread_of_pairs(values, strata), one_by_one, 3)
    note(benchmark, "variances of all pairs of 34 tuners", "the plain formula, one by one", ratio, 1 / 8)
    benchmark.pedantic(lambda: spread_of_pairs(values, strata), rounds=5)
    assert ratio <= 1 / 8
