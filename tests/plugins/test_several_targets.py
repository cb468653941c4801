"""Every bundled tuner takes several targets at once (``--target 3+8``)."""

import dataclasses

import pytest
import torch
from digits import digits_task, tuned

from tunebench.plugins import load_registry
from tunebench.testing.points import corners, middle

TUNERS = load_registry().tuners
BLIND = {"original", "continue-training", "group-dro", "lift", "max-min-recall", "retrain", "tau-norm"}
"""Those that prefer no class: what they propose is the same whatever the targets are."""


def proposed(tuner, targets):
    """Weights and biases of what a tuner proposes for ``targets``, a vector each: rays, or middle and last corner."""
    task = dataclasses.replace(digits_task(), targets=targets, target=targets[0], max_steps=20)
    assert tuner.skip(task) is None
    prepared, space = tuner.prepare(task), tuner.search_space()
    if not space and hasattr(tuner, "rays"):
        return [torch.cat([edit.weight.flatten(), edit.bias]) for _, edit in tuner.rays(task, prepared)]
    networks = [tuned(tuner, task, params) for params in (middle(space), list(corners(space))[-1])]
    return [torch.cat([part.flatten() for part in network.state_dict().values()]) for network in networks]


def alike(some, others):
    """Whether two lists of proposals are the same."""
    return len(some) == len(others) and all(map(torch.equal, some, others))


@pytest.mark.parametrize("name", TUNERS)
def test_both_targets_count(name):
    """It proposes something for two targets, other than for either alone unless it prefers no class."""
    both, one, other = (proposed(TUNERS[name], targets) for targets in ((3, 8), (3,), (8,)))
    assert both
    assert [alike(both, one), alike(both, other)] == [name in BLIND] * 2
