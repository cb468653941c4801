"""Hidden units of a convolutional network beside its plain forward: time as a ratio, memory beyond the table."""

import statistics
import sys
import time
from pathlib import Path

import torch

from tunebench.networks.activations import activations, forward

sys.path.append(str(Path(__file__).parents[1] / "networks"))
from zoo import adapted

IMAGES, ROUNDS = 4_000, 7
LIMIT = 1.15
"""Of the time of a plain forward."""


def test_hidden_units_cost_little_more_than_a_forward():
    """shufflenet_v2_x0_5 on 28 x 28 images: the median over rounds of both in turn."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, x = adapted("shufflenet_v2_x0_5", 1, 10).eval(), torch.randn(IMAGES, 1, 28, 28)
    ratios = []
    for _ in range(ROUNDS):
        start = time.process_time()
        forward(model, x)
        middle = time.process_time()
        activations(model, x)
        ratios.append((time.process_time() - middle) / (middle - start))
    print(f"{statistics.median(ratios):.3f} x a forward")
    assert statistics.median(ratios) < LIMIT


def test_memory_is_flat_in_the_number_of_images():
    """Beyond the table that is kept, three times the images allocate no more at once."""
    torch.set_num_threads(1)
    model = adapted("shufflenet_v2_x0_5", 1, 10).eval()
    peaks = []
    for images in (2_000, 6_000):
        x = torch.randn(images, 1, 28, 28)
        with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
            kept = activations(model, x)
        table = kept.hidden.nbytes + kept.logits.nbytes
        total = held = 0
        for event in seen.profiler.kineto_results.events():
            if event.name() == "[memory]":
                held += event.nbytes()
                total = max(total, held)
        peaks.append(total - table)
    assert peaks[1] < 1.1 * peaks[0]
