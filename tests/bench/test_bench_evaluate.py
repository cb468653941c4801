"""Speed and memory of the evaluation of synapses, each against its reference in the same run.

The literal algorithm runs on the table of the paper's model 1 (784-100-64-10: 164 hidden units), trained for 3,000
steps, on the 60,000 training samples of MNIST where ``TUNEBENCH_DATA`` holds it, else on a mixture of Gaussians of that
size; ``extra_info`` says which. One thread. Run with ``pytest tests/bench -q``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from references import TARGET, alternate, note, table
from torch import Tensor
from tunebench_synapse import StreamingEvaluator, evaluate_all

sys.path.append(str(Path(__file__).parents[1] / "plugins" / "synapse"))
from oracle import evaluate_literally

torch.set_num_threads(1)


def synthetic(n: int, neurons: int, seed: int = 0, shift: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """ReLU activations of normal values plus ``shift``, and logits that are right about 19 times in 20, float32."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (n,), generator=generator)
    logits = torch.randn(n, 10, generator=generator) + 5 * F.one_hot(labels, 10)
    return (torch.randn(n, neurons, generator=generator) + shift).relu_(), logits, labels


SHAPES = ((60_000, 164), (20_000, 3_000))
KINDS = {"dense": 0.0, "sparse": -1.5}
"""Half and 7 % of the activations are positive."""


@pytest.mark.parametrize("ranks", [(1, 2), (8,)], ids=["k<=2", "k=8"])
@pytest.mark.parametrize("targets", [[TARGET], None], ids=["one", "all"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_against_a_plain_read(benchmark, shape, kind, targets, ranks):
    """All neurons take at most three times a bare sum over the table, all ten targets six times, for k <= 2."""
    hidden, logits, labels = synthetic(*shape, shift=KINDS[kind])
    limit = (3.0 if targets else 6.0) if max(ranks) <= 2 else (5.0 if targets else 20.0)
    ratio = 0.0
    for k in ranks:
        ours = lambda k=k: evaluate_all(hidden, logits, labels, targets, k)  # noqa: E731
        ratio = max(ratio, alternate(ours, hidden.sum))
    what = f"evaluate, {'one target' if targets else 'ten targets'}, k {'<= 2' if max(ranks) <= 2 else '= 8'}, {kind}"
    note(benchmark, what, f"`V.sum()`, {shape[0]:,} x {shape[1]:,}", ratio, limit)
    benchmark.pedantic(ours, rounds=3)
    assert ratio <= limit


def test_against_the_literal_algorithm(benchmark):
    """One target and k <= 8 is at least 300 times faster than the literal algorithm for a single k.

    The literal algorithm, whose time is proportional to the neurons, runs on 4 of the 164.
    """
    hidden, logits, labels, source = table()
    nested = hidden[:, :4].tolist(), logits.tolist(), labels.tolist()
    evaluate_all(hidden, logits, labels, [TARGET])
    start = time.thread_time()
    threshold, count = evaluate_literally(*nested, TARGET, 2)
    literal = (time.thread_time() - start) * 164 / 4
    times = []
    for _ in range(11):
        start = time.thread_time()
        result = evaluate_all(hidden, logits, labels, [TARGET])
        times.append(time.thread_time() - start)
    assert result.threshold[0, 1, :4].tolist() == threshold
    assert result.count[0, 1, :4].tolist() == count
    ratio = statistics.median(times) / literal
    note(benchmark, "evaluate all neurons, one target, k <= 8", f"literal algorithm 1 ({source})", ratio, 1 / 300)
    benchmark.pedantic(lambda: evaluate_all(hidden, logits, labels, [TARGET]), rounds=10)
    assert ratio <= 1 / 300


@pytest.mark.parametrize(
    ("shape", "smaller"),
    [
        *(((n, 164), (n // 10, 164)) for n in (10_000, 100_000, 1_000_000)),
        *(((1_000, neurons), (1_000, neurons // 10)) for neurons in (1_000, 10_000, 100_000)),
    ],
)
def test_scaling(benchmark, shape, smaller):
    """Ten times the samples, or the neurons, take at most twenty times as long."""
    small, large = synthetic(*smaller), synthetic(*shape)

    def run(tables: tuple[Tensor, Tensor, Tensor]) -> None:
        stream = StreamingEvaluator([TARGET])
        stream.update(*tables)
        stream.result()

    rounds = 3 if large[0].numel() > 10**7 else 11
    ratio = alternate(lambda: run(large), lambda: run(small), rounds)
    sizes = [f"N = {n:,}, H = {neurons:,}" for n, neurons in (shape, smaller)]
    note(benchmark, f"streaming, {sizes[0]}", sizes[1], ratio, 20)
    benchmark.pedantic(lambda: run(large), rounds=3)
    assert ratio <= 20


MEMORY = """
import sys
import torch
from test_bench_evaluate import synthetic
from tunebench_synapse import StreamingEvaluator

torch.set_num_threads(1)
def status(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field))

def stream(batches, size=5_000):
    stream = StreamingEvaluator()
    for seed in range(batches):
        stream.update(*synthetic(size, 164, seed))
    return stream.result()

stream(1, 8)
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
before = status("VmRSS")
assert stream(int(sys.argv[1])).count.sum() > 0
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to reset the peak of memory")
def test_streaming_memory_is_flat(benchmark):
    """Ten times the samples, in batches of 5,000, all ten targets: at most 1.2 times the extra peak memory."""
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), *sys.path])}

    def extra(batches: int) -> int:
        """Peak resident memory in KiB over what the process held before."""
        command = [sys.executable, "-c", MEMORY, str(batches)]
        return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)

    few, many = extra(20), extra(200)
    note(benchmark, f"extra memory at N = 10^6: {many:,} KiB", f"N = 10^5: {few:,} KiB", many / few, 1.2)
    benchmark.pedantic(lambda: None)
    assert many <= 1.2 * few
