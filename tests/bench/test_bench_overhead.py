"""What the machinery takes around a cell: a process, an answer, a file; tests/chaos holds it for a thousand."""

from __future__ import annotations

import statistics

from overhead import measured
from references import note

ROUNDS = 3
BOUND = 0.1
"""Seconds of processor time, which docs/scaling.md reckons with."""


def test_around_a_trivial_cell(benchmark, own_cache, tmp_path):
    """100 cells that do nothing, with two workers: processor time of all processes, less that of the cells alone."""
    found = [measured(tmp_path / str(number), "trivial-1?", seeds=1) for number in range(ROUNDS)]
    assert all(one.counts == {"ok": 100} for one in found)
    for one in found:
        print(f"{1000 * one.overhead:.0f} ms around {1000 * one.alone:.0f} ms; {1000 * one.wall:.0f} ms on the clock")
    overhead = statistics.median(one.overhead for one in found)
    note(benchmark, "processor time around a cell, its own left out", "0.1 s", overhead / BOUND, 1.0)
    benchmark.pedantic(lambda: None)
    assert overhead <= BOUND
