"""Hidden units, logits and labels for the tests of the evaluation: random, and as awkward as they come."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

Tables = tuple[Tensor, Tensor, Tensor]


def random_tables(seed: int, n: int, neurons: int = 12, classes: int = 4, dtype=torch.float64) -> Tables:
    """Like a trained network's: logits right nine times in ten, activations that depend on the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    noise = torch.randn(n, neurons + classes, generator=generator, dtype=torch.float64)
    affinity = torch.randn(classes, neurons, generator=generator, dtype=torch.float64)
    hidden = (noise[:, :neurons] + affinity[labels]).relu()
    logits = noise[:, neurons:] + 3 * torch.eye(classes)[labels]
    return hidden.to(dtype), logits.to(dtype), labels


@st.composite
def tables(draw: st.DrawFn, *, negative: bool = False) -> Tables:
    """Ties, zeros, denormals, extremes, missing classes, one sample or none; float32 and float64.

    Activations of both signs where ``negative`` says so.
    """
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    info = np.finfo(dtype)
    n, neurons, classes = draw(st.integers(0, 12)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    tiny = [float(info.smallest_subnormal), float(info.tiny)]
    width = info.bits
    values = st.one_of(
        st.sampled_from([0.0, 0.0, 1.0, 1.0, 2.0, float(dtype(0.1)), 1e18, float(info.max), *tiny]),
        st.floats(0, 10, width=width),
        st.floats(0, allow_infinity=False, allow_nan=False, width=width),
    )
    signed = st.one_of(values, values.map(lambda value: -value))
    hidden = draw(hnp.arrays(dtype, (n, neurons), elements=signed if negative else values))
    logits = draw(hnp.arrays(dtype, (n, classes), elements=signed))
    labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    return torch.from_numpy(hidden), torch.from_numpy(logits), torch.from_numpy(labels)
