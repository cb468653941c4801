"""The exact trade-off along a ray against brute force over scales."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebench.selection.tradeoff import (
    NARROW,
    Score,
    Steps,
    allowance,
    best_intervals,
    best_scale,
    feasible,
    kept,
    margins,
    ray_steps,
    score,
    shift_steps,
)

CLASSES = 4
VALUES = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.0, 0.25, 1.0, 3.0])
"""Few values, so that ties and equal breakpoints are the rule."""


@st.composite
def rays(draw):
    """Logits (N, C) full of ties, labels (N,), one or two targets, a direction (N,) with zeros and both signs."""
    n = draw(st.integers(1, 12))
    logits = torch.tensor(draw(st.lists(st.lists(VALUES, min_size=CLASSES, max_size=CLASSES), min_size=n, max_size=n)))
    labels = torch.tensor(draw(st.lists(st.integers(0, CLASSES - 1), min_size=n, max_size=n)))
    direction = torch.tensor(draw(st.lists(VALUES, min_size=n, max_size=n)))
    targets = draw(st.sampled_from([(0,), (2,), (3,), (1, 3), (2, 0)]))
    return logits.double(), labels, direction.double(), targets


def moved(logits, direction, targets, scale):
    """Logits with ``scale * direction`` added to every target column."""
    out = logits.clone()
    out[:, list(targets)] += scale * direction[:, None]
    return out


def counted(logits, before, labels, targets):
    """The four counts by looking at every sample."""
    now, then = logits.argmax(1) == labels, before.argmax(1) == labels
    mine = torch.tensor([int(y) in targets for y in labels])
    return Score(
        hits=int((now & mine).sum()),
        correct=int(now.sum()),
        lost=int((then & ~now).sum()),
        gained=int((now & ~then).sum()),
    )


def inside(low, high):
    """A scale inside an interval."""
    return low + 1.0 if math.isinf(high) else (low + high) / 2


@settings(max_examples=100, deadline=None)
@given(rays())
def test_every_interval_counts_what_brute_force_counts(ray):
    """In each interval between breakpoints the counts are those of the network scaled to its middle."""
    logits, labels, direction, targets = ray
    steps = ray_steps(margins(logits, labels, targets), direction)
    assert float(steps.low[0]) == 0.0
    assert math.isinf(float(steps.high[-1]))
    assert np.array_equal(steps.low[1:], steps.high[:-1])
    for low, high, *counts in zip(*(field.tolist() for field in steps[:6]), strict=True):
        assert high >= low
        if high > low:
            at = moved(logits, direction, targets, inside(low, high))
            assert Score(*counts) == counted(at, logits, labels, targets)


@settings(max_examples=100, deadline=None)
@given(rays())
def test_score_counts_every_sample(ray):
    """`score` is the four counts, at scale 0 too, where nothing is lost or gained."""
    logits, labels, direction, targets = ray
    base = margins(logits, labels, targets)
    assert score(moved(logits, direction, targets, 1.5), base, labels) == counted(
        moved(logits, direction, targets, 1.5), logits, labels, targets
    )
    assert score(logits, base, labels)[2:] == (0, 0)


@settings(max_examples=100, deadline=None)
@given(rays(), st.sampled_from([0.0, 10.0, 30.0, 100.0]), st.sampled_from(["none", "1se"]))
def test_the_best_scale_beats_every_other(ray, budget, margin):
    """No scale on a fine grid keeps the budget and has more hits, or as many and more right, than the one chosen."""
    logits, labels, direction, targets = ray
    n = len(labels)
    steps = ray_steps(margins(logits, labels, targets), direction)
    scale = best_scale(steps, n, budget, margin)
    others = [counted(moved(logits, direction, targets, s), logits, labels, targets) for s in grid(steps)]
    good = [(s.hits, s.correct) for s in others if feasible(s, n, budget, margin)]
    if scale is None:
        assert not good
        return
    assert scale > 0
    found = counted(moved(logits, direction, targets, scale), logits, labels, targets)
    assert feasible(found, n, budget, margin)
    assert (found.hits, found.correct) == max(good)


def grid(steps):
    """A scale inside every interval that float32 logits could hit."""
    edges = sorted({*steps.low.tolist(), *steps.high.tolist()})
    return [inside(a, b) for a, b in itertools.pairwise(edges) if b - a > NARROW * a]


def test_the_midpoint_of_the_first_best_interval():
    """Three samples flip at 1, 2 and 4; the first two help, the third hurts: the best scale is halfway from 2 to 4."""
    logits = torch.tensor([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
    labels = torch.tensor([1, 1, 0])
    steps = ray_steps(margins(logits, labels, (1,)), np.ones(3))
    assert steps.low.tolist() == [0, 1, 2, 4]
    assert steps.hits.tolist() == [0, 1, 2, 2]
    assert steps.correct.tolist() == [1, 2, 3, 2]
    assert steps.lost.tolist() == [0, 0, 0, 1]
    assert steps.gained.tolist() == [0, 1, 2, 2]
    assert best_scale(steps, 3, 0.0) == 3.0


def test_beyond_the_last_breakpoint():
    """Where the best interval has no end the scale is twice the last breakpoint, or 1 where there is none."""
    logits, labels = torch.tensor([[3.0, 0.0]]), torch.tensor([1])
    assert best_scale(ray_steps(margins(logits, labels, (1,)), torch.ones(1)), 1, 0.0) == 6.0
    assert best_scale(ray_steps(margins(logits, labels, (1,)), torch.zeros(1)), 1, 0.0) == 1.0


def test_no_scale_keeps_the_budget():
    """Where every scale > 0 loses a sample at once, none is chosen under a budget of 0."""
    logits, labels = torch.tensor([[1.0, 1.0], [5.0, 0.0]]), torch.tensor([0, 0])
    steps = ray_steps(margins(logits, labels, (1,)), torch.ones(2))
    assert best_scale(steps, 2, 0.0) is None
    assert best_scale(steps, 2, 50.0) == 2.5


def test_an_interval_too_narrow_for_float32_is_passed_over():
    """The best counts between two breakpoints that float32 cannot tell apart are not offered."""
    edges = np.array([0.0, 1.0, 1.0 + NARROW / 2, 2.0, np.inf])
    hits = np.array([0, 9, 5, 1])
    none = np.zeros(4, dtype=np.int64)
    assert best_scale(Steps(edges[:-1], edges[1:], hits, hits, none, none), 10, 0.0) == pytest.approx(1.5, rel=1e-5)


@pytest.mark.parametrize(
    ("budget", "samples", "allowed"),
    [
        (0.0, 10_000, 0),
        (0.2, 10_000, 20),
        (0.1, 10_000, 10),
        (0.2, 399, 0),
        (0.2, 599, 1),
        (1.0, 399, 3),
        (0.3, 1000, 3),
    ],
)
def test_budgets_are_whole_samples(budget, samples, allowed):
    """A budget is floor(budget * N / 100) samples, and a product that is whole in exact arithmetic stays whole."""
    assert feasible(Score(0, 0, lost=allowed, gained=0), samples, budget)
    assert not feasible(Score(0, 0, lost=allowed + 1, gained=0), samples, budget)
    assert feasible(Score(0, 0, lost=allowed + 5, gained=5), samples, budget)


def test_the_margin_of_one_standard_error():
    """With 1se the loss plus one standard error of the paired difference has to fit, by hand."""
    lost, gained, n = 30, 10, 10_000
    error = math.sqrt(40 - 20**2 / n)
    assert 20 + error == pytest.approx(26.321, abs=1e-3)
    assert not feasible(Score(0, 0, lost, gained), n, 0.26, "1se")
    assert feasible(Score(0, 0, lost, gained), n, 0.27, "1se")
    assert feasible(Score(0, 0, 0, 0), n, 0.0, "1se")


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0, 20))
def test_the_margin_is_never_the_looser_rule(lost, gained, budget):
    """What passes with the margin passes without it."""
    strict = kept(np.array(lost), np.array(gained), 100, budget, "1se")
    assert not bool(strict) or feasible(Score(0, 0, lost, gained), 100, budget)


@settings(max_examples=300, deadline=None)
@given(rays(), st.integers(0, 4))
def test_the_best_shifts_stay_among_the_few(ray, allowed):
    """Leaving out hopeless shifts changes neither the best bias of any budget nor its counts."""
    logits, labels, _, targets = ray
    base, n = margins(logits, labels, targets), len(labels)
    budgets = [100 * lost / n for lost in range(allowed + 1)]
    found = []
    for limit in (None, allowance(budgets[-1], n)):
        steps, offset = shift_steps(base, limit)
        best = best_intervals(steps, n, budgets)
        found.append([(budget, steps.scale(k) - offset, steps.score(k)) for budget, k in best])
    assert found[0] == found[1]


@settings(max_examples=100, deadline=None)
@given(rays())
def test_every_shift_counts_what_brute_force_counts(ray):
    """In each interval of biases the counts are those of the logits shifted by its middle."""
    logits, labels, _, targets = ray
    steps, offset = shift_steps(margins(logits, labels, targets))
    for k, (low, high) in enumerate(zip(steps.low, steps.high, strict=True)):
        if high > low:
            there = moved(logits, torch.ones(len(labels)), targets, inside(low, high) - offset)
            assert steps.score(k) == counted(there, logits, labels, targets)


def test_margins_against_another_networks_originals():
    """`was_right` of the original is what counts as lost, when the margins are of a tuned network."""
    tuned, labels = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 0])
    here = margins(tuned, labels, (1,), was_right=np.array([True, False]))
    steps = ray_steps(here, torch.full((2,), -1.0))
    assert steps.lost.tolist() == [1, 0]
    assert steps.gained.tolist() == [1, 1]
