"""What a reader of results waits for: verification, statistics, and the names of what is installed."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from references import alternate, note

from tunebench.boards import comparison, leaderboard
from tunebench.boards.statistics.crossed import select
from tunebench.boards.statistics.pairs import spread_of_pairs
from tunebench.boards.statistics.variance import spread

MNIST = Path(__file__).parents[2] / "leaderboards" / "mnist-converged"
"""The largest published board: 33 tuners, 3 blocks, 5 seeds, 10,000 test images."""


def doubled():
    """The records of the board, each block twice and one tuner more: 34 tuners, 1,020 cells; block by block."""
    for block, found in [*leaderboard.complete_blocks(MNIST)] * 2:
        yield block, {**found, "another": found["smvt-sj"]}


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
    benchmark.pedantic(statistics, rounds=3)
    seconds = seconds_of(statistics)
    note(benchmark, "statistics of 34 tuners, 1,020 cells", "3 s", seconds / 3, 1.0)
    assert seconds <= 3


def test_pairs_against_one_by_one(benchmark):
    """The variances of all pairs of 34 tuners take at most a fifth of the plain formula, pair by pair."""
    _, found = next(doubled())
    correct, _, labels = comparison.correctness(sorted(found), found, "plain", "0.2")
    values, strata = select(correct, labels, None)
    numbers = values.astype(np.float64)

    def one_by_one():
        for a in range(len(numbers) - 1):
            spread(numbers[a] - numbers[a + 1 :], strata)

    ratio = alternate(lambda: spread_of_pairs(values, strata), one_by_one, 3)
    note(benchmark, "variances of all pairs of 34 tuners", "the plain formula, one by one", ratio, 1 / 5)
    benchmark.pedantic(lambda: spread_of_pairs(values, strata), rounds=5)
    assert ratio <= 1 / 5


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache in which nothing has been noted yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tunebench"


def command(*arguments):
    """A function that runs ``tunebench ARGUMENTS`` to its end."""
    call = [sys.executable, "-m", "tunebench", *map(str, arguments)]
    return lambda: subprocess.run(call, check=True, capture_output=True)


def seconds_of(call):
    """Seconds of work of ``call``, its children included: what it takes where nothing else runs."""

    def spent():
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(part.ru_utime + part.ru_stime for part in used)

    start = spent()
    call()
    return spent() - start


def parse_all():
    """The reference for reading: every file of the board is parsed as JSON and nothing is done with it."""
    for path in MNIST.rglob("*.json"):
        json.loads(path.read_bytes())


def test_reading_a_board_for_the_first_time(benchmark, own_cache):
    """Reading, verifying and judging 495 cells of 33 tuners takes at most 6 seconds where no file is known yet."""
    show = command("leaderboard", MNIST, "--format", "csv")

    def first():
        shutil.rmtree(own_cache / "verified", ignore_errors=True)
        show()

    ratio = alternate(first, parse_all, 3, time.perf_counter)
    note(benchmark, "read and verify a board of 495 cells", "parse its files", ratio, 40)
    benchmark.pedantic(first, rounds=3)
    assert seconds_of(first) <= 6
    assert ratio <= 40


def test_reading_a_board_again(benchmark, own_cache):
    """Reading it again, with no file changed, takes at most 2 seconds, verification included."""
    show = command("leaderboard", MNIST, "--format", "csv")
    ratio = alternate(show, parse_all, 5, time.perf_counter)
    note(benchmark, "read it again, unchanged", "parse its files", ratio, 15)
    benchmark.pedantic(show, rounds=5)
    assert min(seconds_of(show) for _ in range(3)) <= 2
    assert ratio <= 15


def test_list(benchmark, own_cache):
    """`tunebench list` takes at most a second once it has looked."""
    show = command("list")
    show()
    ratio = alternate(show, lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), 5, time.perf_counter)
    note(benchmark, "`tunebench list`, nothing installed since", "`python -c pass`", ratio, 15)
    benchmark.pedantic(show, rounds=5)
    assert min(seconds_of(show) for _ in range(3)) <= 1
    assert ratio <= 15
