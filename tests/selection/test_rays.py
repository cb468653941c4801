"""Any edit multiplied: exact counts, and what the selector makes of them, against brute force."""

import itertools
import math

import numpy as np
import pytest
import torch
from digits import digits_task
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebench import LogitEdit, Tuner
from tunebench.selection.rays import ray_direction, spread_steps
from tunebench.selection.search import search
from tunebench.selection.selector import SearchOptions
from tunebench.selection.tradeoff import NARROW, Score, margins, ray_steps

CLASSES = 4
VALUES = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.0, 0.25, 1.0, 3.0])


@st.composite
def spreads(draw):
    """Logits (N, C) full of ties, labels (N,), targets, and a direction (N, C) with zeros and both signs."""
    n = draw(st.integers(1, 10))
    table = st.lists(st.lists(VALUES, min_size=CLASSES, max_size=CLASSES), min_size=n, max_size=n)
    labels = draw(st.lists(st.integers(0, CLASSES - 1), min_size=n, max_size=n))
    targets = draw(st.sampled_from([(0,), (3,), (1, 3)]))
    return torch.tensor(draw(table)).double(), torch.tensor(labels), targets, torch.tensor(draw(table)).double()


def counted(logits, before, labels, targets):
    """The four counts by looking at every sample."""
    now, then = logits.argmax(1) == labels, before.argmax(1) == labels
    mine = torch.isin(labels, torch.tensor(targets))
    return Score(*(int(flags.sum()) for flags in (now & mine, now, then & ~now, now & ~then)))


def inside(steps):
    """A scale inside every interval, with its number; no round one, where a tie may last for an instant."""
    for k, (low, high) in enumerate(zip(steps.low.tolist(), steps.high.tolist(), strict=True)):
        if high > low:
            yield k, low + 0.8191 * (1 if math.isinf(high) else high - low)


@settings(max_examples=200, deadline=None)
@given(spreads())
def test_every_interval_counts_what_brute_force_counts(spread):
    """In each interval between breakpoints the counts are those of the logits moved so far."""
    logits, labels, targets, direction = spread
    steps = spread_steps(margins(logits, labels, targets), direction, logits, labels)
    assert float(steps.low[0]) == 0.0
    for k, scale in inside(steps):
        assert steps.score(k) == counted(logits + scale * direction, logits, labels, targets)


@settings(max_examples=200, deadline=None)
@given(spreads(), st.sampled_from([0.0, 25.0, 50.0]), st.booleans())
def test_intervals_are_usable_where_protected_classes_keep_their_recall(spread, points, alike):
    """Classes that may lose so many points, by counting the right samples of each, along either kind of ray."""
    logits, labels, targets, direction = spread
    protect = ((2, points), (0, 0.0)) if 0 not in targets else ((2, points),)
    base = margins(logits, labels, targets, protect=protect)
    if alike:
        direction[:, [c for c in range(CLASSES) if c not in targets]] = 0
        direction[:, list(targets)] = direction[:, [targets[0]]]
        steps = ray_steps(base, direction[:, targets[0]])
    else:
        steps = spread_steps(base, direction, logits, labels)
    for k, scale in inside(steps):
        now = (logits + scale * direction).argmax(1) == labels
        before = logits.argmax(1) == labels
        kept = [
            int((before & (labels == c)).sum()) - int((now & (labels == c)).sum())
            <= math.floor(pp * int((labels == c).sum()) / 100 + 1e-9)
            for c, pp in protect
        ]
        assert bool(steps.usable[k]) == all(kept)


def test_scales_below_a_limit():
    """The interval that the limit falls into ends there; what lies beyond is not usable."""
    logits, labels = torch.tensor([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]]), torch.tensor([1, 1, 0])
    steps = ray_steps(margins(logits, labels, (1,)), np.ones(3))
    assert steps.below(math.inf) is steps
    assert steps.below(3.0).usable.tolist() == [True, True, True, False]
    assert steps.below(3.0).high.tolist() == [1, 2, 3, 3]
    assert not steps.below(0.0).usable.any()


def test_a_direction_is_one_column_where_the_targets_alone_move_alike():
    """Else it is one of every logit; both are what the edit adds."""
    task = digits_task()
    columns = task.hidden_valid.t().contiguous()
    edit = LogitEdit.of_target(task, torch.linspace(-1, 1, 48), 0.5)
    added = task.hidden_valid.double() @ edit.weight.double().T + edit.bias.double()
    assert torch.allclose(ray_direction(edit, task, columns), added[:, task.target])
    edit.bias[0] = 1.0
    added[:, 0] = 1.0
    assert torch.allclose(ray_direction(edit, task, columns), added)


class Spreads(Tuner):
    """Moves every logit, by multiples that the host solves."""

    name, scalable = "spreads", True

    def tune(self, task, params, prepared):
        """A random edit that favours the target."""
        generator = torch.Generator().manual_seed(3)
        edit = LogitEdit(torch.randn(10, 48, generator=generator) / 50, torch.randn(10, generator=generator) / 5)
        edit.bias[task.target] += 1.0
        return edit


@pytest.mark.parametrize("budget", [0.0, 0.5, 1.0])
def test_an_edit_of_every_logit_is_solved_exactly(budget):
    """No multiple between any two breakpoints has more hits within the budget than the one chosen."""
    task, edit = digits_task(), Spreads().tune(digits_task(), {}, None)
    found = search(Spreads(), task, SearchOptions(budget=0.5)).chosen["plain"][budget]
    direction = task.hidden_valid.double() @ edit.weight.double().T + edit.bias.double()
    logits, labels = task.logits_valid.double(), task.y_valid
    steps = spread_steps(margins(task.logits_valid, labels, (8,)), direction, task.logits_valid, labels)
    best = max(
        (score.hits, score.correct)
        for low, high in itertools.pairwise(steps.low.tolist())
        if high - low > NARROW * low
        for score in [counted(logits + (low + high) / 2 * direction, logits, labels, (8,))]
        if score.lost - score.gained <= budget * len(labels) / 100
    )
    start = counted(logits, logits, labels, (8,))
    assert (found.score.hits, found.score.correct) == max(best, (start.hits, start.correct))
