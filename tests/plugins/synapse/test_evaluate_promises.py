"""What the evaluation of candidate synapses promises: counts, bounded flips, and a named error for unusable input."""

from __future__ import annotations

import sys

import pytest
import torch
import tunebench_synapse
from hypothesis import given, settings
from hypothesis import strategies as st
from synapse_tables import random_tables
from torch import Tensor
from tunebench_synapse import StreamingEvaluator, evaluate, evaluate_all

torch.set_num_threads(1)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_count_equals_a_forward_pass_with_the_synapse(k):
    """Adding one synapse with its threshold as weight corrects exactly `count` samples of the target."""
    total = 0
    for seed in range(5):
        hidden, logits, labels = random_tables(seed, 400)
        result = evaluate(hidden, logits, labels, 1, k)
        wrong = (labels == 1) & (logits.argmax(1) != 1)
        for i, threshold in enumerate(result.threshold):
            edited = logits.clone()
            edited[:, 1] += threshold * hidden[:, i]
            assert int((wrong & (edited.argmax(1) == 1)).sum()) == int(result.count[i])
        total += int(result.count.sum())
    assert total > 10


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 12),
    k=st.integers(1, 4),
    scale=st.floats(0, 1),
    ties=st.booleans(),
)
def test_flips_are_bounded(seed, n, k, scale, ties):
    """n synapses of weight threshold / n, scaled by at most 1, flip at most n (k - 1) samples of ``D_c``."""
    hidden, logits, labels = random_tables(seed, 150)
    if ties:
        hidden, logits = hidden.round(), logits.round()
    threshold = evaluate(hidden, logits, labels, 0, k).threshold
    chosen = threshold.nonzero().squeeze(1)[:n]
    right = (labels != 0) & (logits.argmax(1) == labels)
    edited = logits.clone()
    edited[:, 0] += scale * (hidden[:, chosen] @ (threshold[chosen] / max(1, len(chosen))))
    assert int((right & (edited.argmax(1) != labels)).sum()) <= len(chosen) * (k - 1)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("k", [1, 2])
def test_flips_are_bounded_in_float32(seed, k):
    """The bound holds in float32 for all samples whose gap is so wide that the guard covers rounding."""
    hidden, logits, labels = random_tables(seed, 2000, dtype=torch.float32)
    threshold = evaluate(hidden, logits, labels, 0, k).threshold
    chosen = threshold.nonzero().squeeze(1)
    gap = logits.amax(1) - logits[:, 0]
    guarded = gap * 1e-4 > 4 * torch.finfo(torch.float32).eps * logits.abs().amax(1)
    right = guarded & (labels != 0) & (logits.argmax(1) == labels)
    edited = logits.clone()
    edited[:, 0] += hidden[:, chosen] @ (threshold[chosen] / len(chosen)).float()
    assert int((right & (edited.argmax(1) != labels)).sum()) <= len(chosen) * (k - 1)


def test_a_rare_neuron_is_no_candidate():
    """A neuron needs k firing samples of ``D_c`` and one in a thousand; at exactly that many it counts."""
    n = 3000
    logits = torch.tensor([[0.0, 1.0]]).repeat(n, 1)
    labels = torch.ones(n, dtype=torch.int64)
    labels[-1] = 0  # D_w
    hidden = torch.zeros(n, 3)
    hidden[:2, 0] = 1
    hidden[:3, 1] = 1
    hidden[:4, 2] = 1
    hidden[-1] = 5
    assert evaluate(hidden, logits, labels, 0, 1).count.tolist() == [0, 1, 1]
    assert evaluate(hidden, logits, labels, 0, 4).count.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("labels", "target", "k"),
    [([0, 0, 1], 1, 1), ([1, 1, 1], 1, 1), ([0, 0, 1], 1, 10**9), ([2, 2, 2], 0, 1)],
)
def test_nothing_to_gain_is_zero(labels, target, k):
    """No ``D_w``, no ``D_c`` or too high a rank: counts 0, thresholds finite and not negative."""
    hidden = torch.tensor([[1.0], [2.0], [0.0]])
    logits = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    result = evaluate(hidden, logits, torch.tensor(labels), target, k)
    assert result.count.tolist() == [0]
    assert bool(((result.threshold >= 0) & result.threshold.isfinite()).all())


def bad(name: str, value) -> dict:
    """Good arguments of `evaluate` but for one: a value, or a function of the good one."""
    good = dict(zip(("hidden", "logits", "labels"), random_tables(0, 20), strict=True)) | {
        "target": 0,
        "k": 1,
    }
    if callable(value):
        value = value(good[name].clone())
    return good | {name: value}


def put(value: float):
    """A change of a table's last entry."""

    def change(table: Tensor) -> Tensor:
        table[-1, -1] = value
        return table

    return change


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (bad("hidden", put(torch.nan)), "hidden holds NaN"),
        (bad("hidden", put(torch.inf)), "hidden holds NaN or infinite"),
        (bad("hidden", put(-1e-300)), "hidden holds negative"),
        (bad("hidden", lambda t: t[0]), "hidden must be a matrix"),
        (bad("hidden", lambda t: t.long()), "hidden must be a matrix of floats"),
        (bad("hidden", lambda t: t[1:]), "hidden, logits and labels disagree"),
        (bad("logits", put(torch.nan)), "logits hold NaN"),
        (bad("logits", put(-torch.inf)), "logits hold NaN or infinite"),
        (bad("logits", lambda t: t[:, :0]), "logits must have"),
        (bad("labels", lambda t: t.fill_(4)), "labels must lie in 0..3"),
        (bad("labels", lambda t: t.fill_(-1)), "labels must lie in 0..3"),
        (bad("labels", lambda t: t.double()), "labels must be a vector of integers"),
        (bad("target", 4), "target 4"),
        (bad("target", -1), "target -1"),
        (bad("k", 0), "k must be at least 1"),
    ],
)
def test_bad_input_is_named(arguments, message, compiled, monkeypatch):
    """Every unusable input is a ValueError that says which it is, on both paths."""
    monkeypatch.setattr(tunebench_synapse.evaluation, "SMALL", 0 if compiled else sys.maxsize)
    with pytest.raises(ValueError, match=message):
        evaluate(**arguments)


def test_a_refused_batch_ends_the_stream():
    """After an error no result can be read, for the batch may have been counted in part."""
    hidden, logits, labels = random_tables(0, 20)
    stream = StreamingEvaluator()
    with pytest.raises(ValueError, match="no batch"):
        stream.result()
    stream.update(hidden, logits, labels)
    with pytest.raises(ValueError, match="5 neurons"):
        stream.update(hidden[:, :5], logits, labels)
    with pytest.raises(ValueError, match="negative"):
        stream.update(-hidden, logits, labels)
    with pytest.raises(ValueError, match="refused"):
        stream.update(hidden, logits, labels)
    with pytest.raises(ValueError, match="refused"):
        stream.result()


def test_targets_are_checked():
    """A target given twice is refused: its samples would be counted for one of the two only."""
    with pytest.raises(ValueError, match="twice"):
        evaluate_all(*random_tables(0, 20), targets=[1, 1])
