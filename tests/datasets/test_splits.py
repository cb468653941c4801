"""Stratified splits: exact, proportional, complete, and refused where a class would be lost."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebench import DataError
from tunebench.datasets import Place, holdout
from tunebench.datasets.splits import stratified

NOWHERE = Place(None)
ROWS = np.random.default_rng(0)


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(2, 60), min_size=2, max_size=12), data=st.data())
def test_stratified_is_exact_proportional_and_complete(counts, data):
    """Parts are disjoint, complete, sorted and of exact size, each class within one sample of its share."""
    total = sum(counts)
    size = data.draw(st.integers(len(counts), total - len(counts)))
    y = np.random.default_rng(total).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, held = stratified(y, size, seed=3)
    assert len(held) == size
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(total))
    assert (np.diff(kept) > 0).all()
    assert (np.diff(held) > 0).all()
    took, exact = np.bincount(y[held]), np.array(counts) * size / total
    assert ((took >= 1) & (took < counts)).all()
    if (exact >= 1).all() and (exact <= np.array(counts) - 1).all():
        assert (np.abs(took - exact) < 1).all()


def test_holdout_shares():
    """One sixth from 10,000 samples on, one third below: MNIST's 60,000 give 50,000 and 10,000."""
    for total, expected in ((60_000, 10_000), (10_000, 1_666), (9_999, 3_333), (1_198, 399)):
        train, valid = holdout(torch.arange(total) % 10, seed=0)
        assert (len(train), len(valid)) == (total - expected, expected)
        assert train.dtype == valid.dtype == torch.int64


def test_holdout_depends_on_the_seed_alone():
    """The global random state neither matters nor changes; another seed gives another split."""
    y = torch.arange(300) % 7
    torch.manual_seed(1)
    np.random.seed(1)
    state = torch.get_rng_state()
    first = holdout(y, seed=5)[1]
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    np.random.seed(2)
    assert torch.equal(first, holdout(y, seed=5)[1])
    assert not torch.equal(first, holdout(y, seed=6)[1])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 0, 0, 4], "class 4 has 1 sample"),
        ([0, 0, 1, 1, 2, 2], "6 samples of 3 classes"),
        ([], "0 samples"),
    ],
)
def test_holdout_refuses_classes_that_cannot_be_split(labels, expected):
    """Too few samples of a class, or at all, are a data error with counts."""
    with pytest.raises(DataError, match=expected):
        holdout(torch.tensor(labels, dtype=torch.int64), seed=0)
