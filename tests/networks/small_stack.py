"""A plain stack and samples that it can learn, for the tests of training, and how far two networks are apart."""

import torch
from torch import nn


def stack(dtype=torch.float64):
    """A plain stack of Linear and ReLU with fixed weights."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        parts = (nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 4))
        return nn.Sequential(*parts).to(dtype)


def samples(dtype=torch.float64, count=150):
    """Random inputs (count, 3, 4) whose labels a linear map decides, so that there is something to learn."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(count, 3, 4, generator=generator, dtype=dtype)
    return x, (x.flatten(1) @ torch.randn(12, 4, generator=generator, dtype=dtype)).argmax(1)


def distance(a, b):
    """The largest difference between the parameters of two networks."""
    return max(float((p - q).detach().abs().max()) for p, q in zip(a.parameters(), b.parameters(), strict=True))
