"""Speed and memory of the evaluation of synapses, each against its reference in the same run.

The table is that of the paper's model 1 (784-100-64-10: 164 hidden units), trained for 3,000 steps, on the 60,000
training samples of MNIST where ``TUNEBENCH_DATA`` holds it, else on a mixture of Gaussians of that size;
``extra_info`` says which. One thread. Run with ``pytest tests/bench -q``.
"""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from tunebench_synapse import StreamingEvaluator, evaluate_all

from tunebench.activations import activations
from tunebench.datasets import Place, open_dataset
from tunebench.models import mlp
from tunebench.training import minibatches, sgd

sys.path.append(str(Path(__file__).parents[1] / "synapse"))
from oracle import evaluate_literally

torch.set_num_threads(1)
TARGET = 5


def inputs() -> tuple[Tensor, Tensor, str]:
    """MNIST's training images, normalised, or a mixture of Gaussians of the same size; and which it is."""
    root = os.environ.get("TUNEBENCH_DATA")
    if root and (Path(root) / "MNIST").is_dir():
        data = open_dataset("mnist", Place(Path(root))).train()
        return data.x.flatten(1), data.y, "MNIST"
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(10, (60_000,), generator=generator)
    centres = torch.randn(10, 784, generator=generator)
    return 0.15 * centres[y] + torch.randn(60_000, 784, generator=generator), y, "Gaussian mixture"


@functools.cache
def table() -> tuple[Tensor, Tensor, Tensor, str]:
    """hidden (60000, 164) and logits (60000, 10) float32, labels, and where they come from."""
    x, y, source = inputs()
    torch.manual_seed(0)
    model = mlp((100, 64), (784,), 10).eval()
    sgd(model, minibatches(x, y, 3000, seed=0), F.cross_entropy, 0.01)
    found = activations(model, x)
    return found.hidden, found.logits, y, source


def alternate(ours: Callable[[], object], reference: Callable[[], object], rounds: int = 21) -> float:
    """Median over rounds of the ratio of the two CPU times, called in turn: load on the machine hits both."""
    ours(), reference()
    ratios = []
    for _ in range(rounds):
        start = time.thread_time()
        reference()
        middle = time.thread_time()
        ours()
        ratios.append((time.thread_time() - middle) / (middle - start))
    return statistics.median(ratios)


def note(benchmark, ours: Callable[[], object], rounds: int = 10, **facts: object) -> None:
    """Time ``ours`` with pytest-benchmark and record the facts beside it."""
    benchmark.extra_info.update(facts)
    benchmark.pedantic(ours, rounds=rounds, warmup_rounds=1)


def test_one_target_against_amin(benchmark):
    """All thresholds k <= 8 and counts of one target take at most twice a bare minimum over the table."""
    hidden, logits, labels, source = table()
    ratio = alternate(lambda: evaluate_all(hidden, logits, labels, [TARGET]), lambda: hidden.amin(0))
    note(benchmark, lambda: evaluate_all(hidden, logits, labels, [TARGET]), ratio_to_amin=ratio, source=source)
    assert ratio <= 2.0


def test_all_targets_against_one(benchmark):
    """All ten targets in one pass take at most four times as long as one."""
    hidden, logits, labels, source = table()
    ratio = alternate(
        lambda: evaluate_all(hidden, logits, labels), lambda: evaluate_all(hidden, logits, labels, [TARGET])
    )
    note(benchmark, lambda: evaluate_all(hidden, logits, labels), ratio_to_one=ratio, source=source)
    assert ratio <= 4.0


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
    ratio = literal / statistics.median(times)
    note(benchmark, lambda: evaluate_all(hidden, logits, labels, [TARGET]), times_faster=ratio, source=source)
    assert ratio >= 300


def synthetic(n: int, neurons: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """ReLU activations and logits that are right about 19 times in 20, float32."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (n,), generator=generator)
    logits = torch.randn(n, 10, generator=generator) + 5 * F.one_hot(labels, 10)
    return torch.randn(n, neurons, generator=generator).relu_(), logits, labels


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
    note(benchmark, lambda: run(large), 3, ratio_to_a_tenth=ratio)
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
    note(benchmark, lambda: None, 1, kib_at_1e5=few, kib_at_1e6=many, ratio=many / max(1, few))
    assert many <= 1.2 * few
