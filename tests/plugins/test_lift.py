"""lift: what a warp does to an image, and that the tuner trains as it says."""

import dataclasses
import math

import pytest
import torch
from digits import assert_keeps_the_rules, digits_task, make_task, target_recall, tuned
from tunebench_lift import augmentation, lift, tunebench_tuners
from tunebench_lift.augmentation import warped

from tunebench.selection.path import was_touched, watched

(LIFT,) = tunebench_tuners()


@pytest.fixture(scope="module")
def task():
    """Digit 8 on a small under-trained network."""
    return digits_task()


def dice():
    """A generator of the CPU with a seed."""
    return torch.Generator().manual_seed(0)


def test_lift_keeps_the_rules(task):
    """A deterministic tuned copy; the task is left as it is."""
    assert_keeps_the_rules(LIFT, dataclasses.replace(task, max_steps=20), {"n": 3})


@pytest.mark.parametrize("n", [1, 8])
def test_lift_raises_the_targets(task, n):
    """What is learnt from new images raises recall on training data, of one target or two."""
    for targets in ((8,), (8, 9)):
        wish = make_task(task.model, targets, max_steps=50)
        assert target_recall(tuned(LIFT, wish, {"n": n}), wish) > target_recall(task.model, wish)


def test_lift_trains_eight_times_as_long_as_a_trial_may_and_no_longer(task, monkeypatch):
    """The limit on steps is kept by each of the trainings, and all of it is used."""
    seen = []
    monkeypatch.setattr(lift, "warped", lambda x, _: seen.append(len(x)) or x)
    prepared = LIFT.prepare(dataclasses.replace(task, max_steps=7))
    LIFT.tune(task, {"n": 8}, prepared)
    assert len(seen) == 8 * 7


def test_every_training_goes_on_where_the_last_one_ended(task, monkeypatch):
    """The networks come last first, and each starts from the one before."""
    starts, trained = [], LIFT.trained
    monkeypatch.setattr(LIFT, "trained", lambda start, *rest: starts.append(start) or trained(start, *rest))
    prepared = LIFT.prepare(dataclasses.replace(task, max_steps=2))
    assert starts == [task.model, *prepared[:0:-1]]
    assert len({id(model) for model in prepared}) == 8


def test_n_of_the_last_networks_are_averaged(task):
    """Weights are the mean of those of the last ones, and one is the last itself."""
    few = dataclasses.replace(task, max_steps=5)
    prepared = LIFT.prepare(few)
    assert torch.equal(LIFT.tune(few, {"n": 1}, prepared)[1].weight, prepared[0][1].weight)
    mean = torch.stack([model[1].weight for model in prepared[:3]]).mean(0)
    torch.testing.assert_close(LIFT.tune(few, {"n": 3}, prepared)[1].weight, mean)


def test_lift_leaves_validation_alone(task):
    """Nothing reads a validation sample, so that a certificate can stand on them."""
    shown = watched(dataclasses.replace(task, max_steps=2))
    tuned(LIFT, shown, {"n": 8})
    assert not was_touched(shown)


def test_samples_that_are_no_images_are_trained_on_as_they_are(task):
    """Rows of features are not warped."""
    x = torch.rand(5, 12)
    assert warped(x, dice()) is x
    rows = dataclasses.replace(task, x_train=task.x_train.flatten(1), x_valid=task.x_valid.flatten(1), max_steps=5)
    assert not torch.equal(tuned(LIFT, rows, {"n": 2})[1].weight, task.model[1].weight)


def test_a_warp_of_nothing_is_the_image(monkeypatch):
    """Without shift, turn and zoom the grid is the identity."""
    for name in ("SHIFT", "TURN", "ZOOM"):
        monkeypatch.setattr(augmentation, name, 0.0)
    x = torch.rand(4, 3, 9, 7)
    torch.testing.assert_close(warped(x, dice()), x)


def places(images):
    """Centres of mass (B, 2) of images (B, 1, H, W), down and across, in pixels from the middle."""
    mass = images[:, 0]
    axes = [torch.arange(size) - (size - 1) / 2 for size in mass.shape[1:]]
    total = mass.sum((1, 2))
    return torch.stack([(mass.sum(2) * axes[0]).sum(1) / total, (mass.sum(1) * axes[1]).sum(1) / total], 1)


def test_a_shift_moves_by_at_most_its_share(monkeypatch):
    """The centre of mass of a blob moves by no more than the share of the width."""
    monkeypatch.setattr(augmentation, "TURN", 0.0)
    monkeypatch.setattr(augmentation, "ZOOM", 0.0)
    x = torch.zeros(200, 1, 28, 28)
    x[:, :, 12:16, 12:16] = 1.0
    across = places(warped(x, dice()))[:, 1]
    assert across.abs().max() <= 1.0 + 1e-4
    assert across.abs().max() > 0.9
    assert across.std() > 0.4


@pytest.mark.parametrize(("height", "width"), [(40, 40), (40, 120), (120, 40)])
def test_a_turn_keeps_distances_whatever_the_sides(monkeypatch, height, width):
    """A blob at the side or above stays as far from the middle as it was, and goes round it by the angle."""
    monkeypatch.setattr(augmentation, "SHIFT", 0.0)
    monkeypatch.setattr(augmentation, "ZOOM", 0.0)
    monkeypatch.setattr(augmentation, "TURN", math.radians(15))
    x = torch.zeros(100, 1, height, width)
    x[:50, :, height // 2 - 2 : height // 2 + 2, width // 2 + 10 : width // 2 + 14] = 1.0
    x[50:, :, height // 2 + 10 : height // 2 + 14, width // 2 - 2 : width // 2 + 2] = 1.0
    down, across = places(warped(x, dice())).T
    torch.testing.assert_close(torch.hypot(down, across), torch.full((100,), 12.0), atol=0.15, rtol=0)
    angle = torch.cat([torch.atan2(down, across)[:50], torch.atan2(across, down)[50:]]).abs()
    assert math.radians(13) < angle.max() < math.radians(15.5)
