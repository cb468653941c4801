"""lift: what its augmentation does to an image, and that it trains as it says."""

import dataclasses

import pytest
import torch
from digits import assert_keeps_the_rules, digits_task, target_recall, tuned
from tunebench_lift import augmentation, tunebench_tuners
from tunebench_lift.augmentation import augmented, warped

(LIFT,) = tunebench_tuners()
PARAMS = {"warp": "yes", "mirror": "no", "lambda": 3.0, "lr": 0.002}


@pytest.fixture(scope="module")
def task():
    """Digit 8 on a small under-trained network."""
    return digits_task()


def dice():
    """A generator of the CPU with a seed."""
    return torch.Generator().manual_seed(0)


def test_lift_keeps_the_rules(task):
    """A deterministic tuned copy; the task is left as it is."""
    assert_keeps_the_rules(LIFT, task, PARAMS)


def test_lift_raises_the_target(task):
    """A weight on the target raises its recall on training data."""
    assert target_recall(tuned(LIFT, task, PARAMS), task) > target_recall(task.model, task)


def test_lift_takes_no_more_steps_than_allowed(task, monkeypatch):
    """The limit on steps is kept, and all of it is used."""
    seen = []
    monkeypatch.setattr("tunebench_lift.lift.augmented", lambda x, *_: seen.append(len(x)) or x)
    LIFT.tune(dataclasses.replace(task, max_steps=7), PARAMS, None)
    assert len(seen) == 7


def test_samples_that_are_no_images_stay():
    """Rows of features are no images."""
    x = torch.rand(5, 12)
    assert augmented(x, True, True, dice()) is x


def test_a_warp_of_nothing_is_the_image(monkeypatch):
    """Without shift, turn and zoom the grid is the identity."""
    for name in ("SHIFT", "TURN", "ZOOM"):
        monkeypatch.setattr(augmentation, name, 0.0)
    x = torch.rand(4, 3, 9, 7)
    torch.testing.assert_close(warped(x, dice()), x)


def test_a_shift_moves_by_at_most_its_share(monkeypatch):
    """The centre of mass of a blob moves by no more than the share of the width."""
    monkeypatch.setattr(augmentation, "TURN", 0.0)
    monkeypatch.setattr(augmentation, "ZOOM", 0.0)
    x = torch.zeros(200, 1, 28, 28)
    x[:, :, 12:16, 12:16] = 1.0
    found = warped(x, dice())[:, 0]
    places = torch.arange(28.0)
    across = (found.sum(1) * places).sum(1) / found.sum((1, 2)) - 13.5
    assert across.abs().max() <= 1.0 + 1e-4
    assert across.abs().max() > 0.9
    assert across.std() > 0.4


def test_a_mirror_turns_about_half_of_the_images():
    """Every image is itself or its mirror image."""
    x = torch.rand(400, 1, 5, 6)
    found = augmented(x, False, True, dice())
    turned = (found == x.flip(3)).flatten(1).all(1)
    assert ((found == x).flatten(1).all(1) ^ turned).all()
    assert 150 < int(turned.sum()) < 250
