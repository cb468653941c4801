"""Which bundled tuners read validation samples: the host certifies none of their choices."""

import dataclasses

import pytest
from digits import digits_task

from tunebench.plugins import load_registry
from tunebench.selection.path import was_touched, watched
from tunebench.selection.search import trials_of

TUNERS = load_registry().tuners


@pytest.mark.parametrize("name", TUNERS)
def test_only_dfr_reads_validation_samples(name):
    """Every other bundled tuner prepares and tunes without a look at them, so that it can be certified."""
    tuner, task = TUNERS[name], watched(dataclasses.replace(digits_task(), max_steps=3))
    prepared, space = tuner.prepare(task), tuner.search_space()
    if not space and hasattr(tuner, "rays"):
        assert list(tuner.rays(task, prepared))
    else:
        _, params, _ = next(trials_of(space, 2, seed=0))
        tuner.tune(task, params, prepared)
    assert was_touched(task) == (name == "dfr")
