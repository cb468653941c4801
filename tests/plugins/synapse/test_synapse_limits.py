"""Synapses for several targets, and within the user's limits."""

import dataclasses

import pytest
import torch
from digits import digits_task
from tunebench_synapse import tunebench_tuners
from tunebench_synapse.tables import affordable, tables_of
from tunebench_synapse.tuners import rank_synapses

TWO = (3, 8)


def two_targets(**changes):
    """Digits 3 and 8 on the network that all tests share."""
    return dataclasses.replace(digits_task(), targets=TWO, target=3, **changes)


@pytest.mark.parametrize("k", [1, 2])
def test_counts_are_what_a_forward_counts(k):
    """With one synapse to both targets just below its threshold so many more of their samples are right, by a forward.

    And at most k - 1 samples of other classes, which were right, are lost.
    """
    task = two_targets()
    found = rank_synapses(task, k)
    assert len(found.neurons)
    mine = torch.isin(task.y_train, torch.tensor(TWO))
    before = task.logits_train.argmax(1) == task.y_train
    for neuron, weight, count in zip(found.neurons, found.weight, found.count, strict=True):
        logits = task.logits_train.double()
        logits[:, list(TWO)] += (weight * task.hidden_train[:, neuron].double())[:, None]
        right = logits.argmax(1) == task.y_train
        assert int((right & ~before & mine).sum()) == int(count)
        assert int((before & ~right & ~mine).sum()) <= k - 1


def test_one_target_reads_the_tables_as_they_are():
    """No copy, and the class keeps its number."""
    task = digits_task()
    found = tables_of(task)
    assert found.hidden is task.hidden_train
    assert found.logits is task.logits_train
    assert found.target == task.target


@pytest.mark.parametrize("name", ["smvt-sj", "sj-k3", "random-synapses"])
@pytest.mark.parametrize("layer", [0, 1])
def test_synapses_come_from_allowed_layers(name, layer):
    """Neurons of the other layer get none, and some of this one do."""
    tuner = {t.name: t for t in tunebench_tuners()}[name]
    task = dataclasses.replace(digits_task(), synapse_layers=(layer,))
    edit = tuner.tune(task, {"n": 4}, tuner.prepare(task))
    assert set(task.layer_of[edit.weight.ne(0).any(0)].tolist()) == {layer}


@pytest.mark.parametrize("name", ["smvt-sj", "random-synapses"])
@pytest.mark.parametrize("task", [digits_task(), two_targets()], ids=["one target", "two targets"])
def test_new_parameters_are_counted(name, task):
    """Weights from the first layer are new, those from the last are there already."""
    tuner = {t.name: t for t in tunebench_tuners()}[name]
    task = dataclasses.replace(task, max_new_params=3)
    for n in (1, 6, 24):
        edit = tuner.tune(task, {"n": n}, tuner.prepare(task))
        assert int(edit.weight[:, task.layer_of == 0].ne(0).sum()) <= 3


def test_what_there_is_room_for_keeps_its_order():
    """The first new synapses that fit, and all from the last layer."""
    task = dataclasses.replace(digits_task(), max_new_params=2)
    assert affordable(task, [40, 3, 41, 5, 7, 42]) == [40, 3, 41, 5, 42]
    assert affordable(dataclasses.replace(task, targets=TWO), [40, 3, 41, 5, 7]) == [40, 3, 41]
    assert affordable(digits_task(), [3, 2, 1]) == [3, 2, 1]
