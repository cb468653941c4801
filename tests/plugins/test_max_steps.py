"""No bundled tuner trains for longer than the user's `max_steps`."""

from __future__ import annotations

import dataclasses

import pytest

from tunebench.networks import training
from tunebench.plugins import load_registry
from tunebench.testing import small_task
from tunebench.testing.points import corners

TUNERS = load_registry().tuners
MOST = 3


@pytest.fixture(scope="module")
def task():
    """A task whose trials may take few steps."""
    return dataclasses.replace(small_task(), max_steps=MOST)


@pytest.fixture
def trainings(task, monkeypatch):
    """How many batches every training after the task took, on the fast path and by autograd."""
    taken: list[int] = []

    def counting(path):
        def counted(model, batches, *rest):
            batches = list(batches)
            taken.append(len(batches))
            path(model, batches, *rest)

        return counted

    for name in ("_train_stack", "_train_by_autograd"):
        monkeypatch.setattr(training, name, counting(getattr(training, name)))
    return taken


@pytest.mark.parametrize("name", sorted(TUNERS))
def test_a_tuner_keeps_max_steps_or_never_trains(name, task, trainings):
    """Whoever trains says so in `honours`, and no training is longer than the limit."""
    tuner = TUNERS[name]
    for params in corners(tuner.search_space()):
        tuner.tune(task, dict(params), tuner.prepare(task))
    assert "max_steps" in tuner.honours or not trainings
    assert all(count <= MOST for count in trainings)
