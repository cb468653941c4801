"""The evaluation of synapses on a GPU against the fastest that its memory can do, a copy of the table.

Skipped where there is no GPU. Timed with the device's own events, after a warm-up.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from references import TARGET, note
from tunebench_synapse import evaluate_all

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that this torch can use")
SHAPES = ((600_000, 164), (100_000, 3_000))
"""Larger than the cache of any GPU: 0.4 and 1.2 GB of float32."""
LIMITS = {"one": 300, "all": 2500}
"""Copies of the table: what there is on a GPU is the readable path, a dozen operations in float64 for each block,
which the CPU has to launch: two machines with the same GPU differed by up to 1.8."""


def milliseconds(work: Callable[[], object], rounds: int = 7) -> float:
    """Median time of ``work`` on the GPU, of which the first call does not count."""
    work()
    times = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


@pytest.mark.parametrize("which", LIMITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_against_a_copy(benchmark, shape, which):
    """On a GPU the readable torch path takes a bounded number of copies of the table."""
    (n, neurons), targets = shape, [TARGET] if which == "one" else None
    generator = torch.Generator("cuda").manual_seed(0)
    draw = {"generator": generator, "device": "cuda"}
    labels = torch.randint(10, (n,), **draw)
    logits = torch.randn(n, 10, **draw) + 5 * F.one_hot(labels, 10)
    hidden = torch.randn(n, neurons, **draw).relu_()
    ours, copy = milliseconds(lambda: evaluate_all(hidden, logits, labels, targets, 2)), milliseconds(hidden.clone)
    moved = 2 * hidden.numel() * hidden.element_size() / copy / 1e6
    print(f"\n{torch.cuda.get_device_name()}: copy {moved:,.0f} GB/s, evaluate {ours:.2f} ms, copy {copy:.3f} ms")
    what = f"evaluate on a GPU, {'one target' if targets else 'ten targets'}, k <= 2, dense"
    note(benchmark, what, f"a copy of the table there, {n:,} x {neurons:,}", ours / copy, LIMITS[which])
    benchmark.pedantic(lambda: milliseconds(hidden.clone, 1), rounds=1)
    assert ours / copy <= LIMITS[which]
