"""The zero line and logit-bias."""

import dataclasses

import pytest
import torch
from digits import assert_keeps_the_rules, digits_task, tuned
from tunebench_baseline import Original
from tunebench_calibration import LogitBias

from tunebench import LogitEdit


@pytest.fixture(scope="session")
def task():
    """Digit 8 on a small under-trained network."""
    return digits_task()


def test_the_original_comes_back_as_a_copy(task):
    """The zero line has the original's logits, bit for bit, in another object."""
    assert_keeps_the_rules(Original(), task, {})
    model = tuned(Original(), task, {})
    assert torch.equal(model(task.x_valid), task.model(task.x_valid))
    assert {id(p) for p in model.parameters()}.isdisjoint({id(p) for p in task.model.parameters()})
    assert not Original().search_space()


def test_logit_bias_edits_the_target_alone(task):
    """The edit is one unit on the target's logit, with nothing from the hidden units, and scalable."""
    edit = LogitBias().tune(task, {}, None)
    assert edit.bias.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    assert not edit.weight.any()
    assert edit.weight.shape == (10, 48)
    assert LogitBias().scalable
    assert not LogitBias().search_space()


def test_enough_bias_predicts_the_target_everywhere(task):
    """A multiple beyond the largest margin turns every prediction into the target, half the smallest none."""
    edit = LogitBias().tune(task, {}, None)
    others = task.logits_valid.clone()
    others[:, 8] = -torch.inf
    margins = others.max(1).values - task.logits_valid[:, 8]

    def predicted(scale):
        return (task.logits_valid + edit.scaled(scale).bias).argmax(1)

    assert (predicted(float(margins.max()) * 1.001) == 8).all()
    before = task.logits_valid.argmax(1)
    assert torch.equal(predicted(float(margins[margins > 0].min()) / 2), before)
    assert not torch.equal(predicted(float(margins.median())), before)


def test_the_only_ray_is_the_edit(task):
    """The host's exact yardstick sees the same direction that tune returns, with no parameters."""
    ((params, edit),) = LogitBias().rays(task, None)
    assert params == {}
    assert isinstance(edit, LogitEdit)
    assert torch.equal(edit.bias, LogitBias().tune(task, {}, None).bias)


def test_several_targets_share_one_bias(task):
    """The same constant on each target's logit and nothing on the others."""
    edit = LogitBias().tune(dataclasses.replace(task, targets=(8, 3)), {}, None)
    assert edit.bias.nonzero().flatten().tolist() == [3, 8]
    assert len(set(edit.bias[[3, 8]].tolist())) == 1
