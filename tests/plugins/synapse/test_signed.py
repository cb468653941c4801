"""Units that can be negative: both signs of the weight against the literal algorithm, and the tuners that use them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
import tunebench_synapse
from digits import digits_task
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import evaluate_signed_literally
from synapse_tables import Tables, random_tables, tables
from torch import Tensor
from tunebench_synapse import evaluate, evaluate_signed
from tunebench_synapse.evaluation import Evaluation
from tunebench_synapse.tuners import better_sign

from tunebench import TuningTask

torch.set_num_threads(1)
TUNERS = {tuner.name: tuner for tuner in tunebench_synapse.tunebench_tuners()}


def signed_tables(seed: int, n: int) -> Tables:
    """`random_tables` whose units take both signs: some mostly one, one always, as tanh and GELU do."""
    hidden, logits, labels = random_tables(seed, n)
    shift = torch.linspace(-2, 2, hidden.shape[1], dtype=hidden.dtype)
    hidden = torch.tanh(hidden - 0.7 + shift)
    hidden[:, 0] = -hidden[:, 0].abs()
    return hidden, logits, labels


@pytest.mark.parametrize("small", [True, False], ids=["torch", "compiled"])
@settings(deadline=None, max_examples=100)
@given(tables=tables(negative=True), k=st.integers(1, 8), data=st.data())
def test_agrees_with_the_literal_algorithm(small, tables, k, data):
    """Both paths give the oracle's thresholds and counts for either sign, to the last bit."""
    target = data.draw(st.integers(0, tables[1].shape[1] - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tunebench_synapse.evaluation, "SMALL", 1 << 40 if small else 0)
        found = evaluate_signed(*tables, target, k)
    threshold, count = evaluate_signed_literally(*(table.tolist() for table in tables), target, k)
    if len(tables[2]):
        assert found.threshold.tolist() == threshold
        assert found.count.tolist() == count
    else:
        assert not found.threshold.any()
        assert not found.count.any()


def test_counts_are_those_of_a_forward_pass_for_either_sign():
    """On a few hundred samples a synapse with either weight corrects as many samples as its count says, no fewer."""
    corrected = torch.zeros(2)
    for seed in range(4):
        hidden, logits, labels = signed_tables(seed, 400)
        found = evaluate_signed(hidden, logits, labels, 1, 2)
        wrong = (labels == 1) & (logits.argmax(1) != 1)
        for side, sign in enumerate((1, -1)):
            for i, threshold in enumerate(found.threshold[side]):
                edited = logits.clone()
                edited[:, 1] += sign * threshold * hidden[:, i]
                assert int((wrong & (edited.argmax(1) == 1)).sum()) == int(found.count[side, i])
            corrected[side] += found.count[side].sum()
    assert bool((corrected > 10).all())


def test_units_that_are_never_negative_are_evaluated_as_ever():
    """The first row is `evaluate`, the second empty; a table with one negative unit changes nothing for the others."""
    hidden, logits, labels = random_tables(1, 400)
    alone = evaluate(hidden, logits, labels, 1, 2)
    found = evaluate_signed(hidden, logits, labels, 1, 2)
    assert torch.equal(found.threshold[0], alone.threshold)
    assert torch.equal(found.count[0], alone.count)
    assert not found.threshold[1].any()
    assert alone.count.sum() > 0
    hidden[:, 3] *= -1
    turned = evaluate_signed(hidden, logits, labels, 1, 2)
    assert float(turned.threshold[1, 3]) == float(alone.threshold[3]) > 0
    assert not turned.threshold[0, 3]
    rest = torch.arange(hidden.shape[1]) != 3
    assert torch.equal(turned.threshold[:, rest], found.threshold[:, rest])


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 24), k=st.integers(1, 4), scale=st.floats(0, 1))
def test_flips_are_bounded_for_both_signs(seed, n, k, scale):
    """n synapses of either sign, at most threshold / n each, flip at most n (k - 1) samples of ``D_c``."""
    hidden, logits, labels = signed_tables(seed, 150)
    threshold = evaluate_signed(hidden, logits, labels, 0, k).threshold
    sides, units = threshold.nonzero()[:n].t()
    weight = (1 - 2 * sides) * threshold[sides, units] / max(1, len(units))
    right = (labels != 0) & (logits.argmax(1) == labels)
    edited = logits.clone()
    edited[:, 0] += scale * (hidden[:, units] @ weight)
    assert int((right & (edited.argmax(1) != labels)).sum()) <= len(units) * (k - 1)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_unusable_values_are_named(value):
    """NaN and infinities of either sign are refused, negative values are not."""
    hidden, logits, labels = signed_tables(0, 20)
    hidden[-1, -1] = value
    with pytest.raises(ValueError, match="hidden holds NaN or infinite"):
        evaluate_signed(hidden, logits, labels, 0, 1)
    with pytest.raises(ValueError, match="hidden must be a matrix of floats"):
        evaluate_signed(hidden > 0, logits, labels, 0, 1)


def test_a_unit_is_kept_with_its_better_sign():
    """More samples first, then the larger threshold; of equals the positive one."""
    threshold = torch.tensor([[1.0, 1.0, 2.0, 3.0], [9.0, 2.0, 2.0, 1.0]], dtype=torch.float64)
    found = Evaluation(threshold, torch.tensor([[3, 4, 4, 1], [2, 4, 4, 2]]))
    best, negative = better_sign(found)
    assert negative.tolist() == [False, True, False, True]
    assert best.threshold.tolist() == [1, 2, 2, 1]
    assert best.count.tolist() == [3, 4, 4, 2]


def signed_task() -> TuningTask:
    """Digits whose units take both signs: half of them turned around, a quarter shifted across zero."""
    task = digits_task()
    units = torch.arange(task.hidden_train.shape[1])
    turn, shift = (1 - 2 * (units % 2)).float(), (units % 4 == 0).float()
    changed = {name: getattr(task, name) * turn - shift for name in ("hidden_train", "hidden_valid")}
    return dataclasses.replace(task, **changed)


@pytest.mark.parametrize("name", ["sj", "smvt-sj", "sj-k3", "smvt-sj-exact"])
def test_synapses_of_either_sign_keep_the_flip_bound(name):
    """On units of both signs the tuners apply, use weights of both signs, and flip at most n (k - 1) of ``D_c``."""
    task, tuner = signed_task(), TUNERS[name]
    assert tuner.skip(task) is None
    prepared = tuner.prepare(task)
    assert bool((prepared.weight < 0).any())
    assert bool((prepared.weight > 0).any())
    assert len(prepared.neurons.unique()) == len(prepared.neurons)
    for _, edit in tuner.rays(task, prepared):
        before, used = task.logits_train.argmax(1), int(edit.weight.count_nonzero())
        after = (task.logits_train.double() + task.hidden_train.double() @ edit.weight.double().t()).argmax(1)
        others = (task.y_train != task.target) & (before == task.y_train)
        assert int((others & (after != task.y_train)).sum()) <= used * (tuner.k - 1)
        mine = task.y_train == task.target
        assert int((after[mine] == task.target).sum()) > int((before[mine] == task.target).sum())


def test_turned_units_give_the_turned_edit():
    """Multiplying some units by -1 turns the signs of their weights, of every synapse tuner, and nothing else."""
    task = digits_task()
    turn = 1 - 2.0 * (torch.arange(task.hidden_train.shape[1]) % 3 == 0)
    turned = dataclasses.replace(task, hidden_train=task.hidden_train * turn)
    for tuner in TUNERS.values():
        edits = [tuner.tune(t, {"n": 7}, tuner.prepare(t)).weight for t in (task, turned)]
        assert torch.equal(edits[0] * turn, edits[1])
        assert edits[1].min() < 0 < edits[1].max()


def test_the_random_control_draws_signs_where_both_count():
    """A unit of both signs gets either weight, by the seed; one of a single sign that sign, as one random weight."""
    task, tuner = signed_task(), TUNERS["random-synapses"]
    weight = tuner.tune(task, {"n": 24}, tuner.prepare(task)).weight[task.target]
    both = (task.hidden_train.amin(0) < 0) & (task.hidden_train.amax(0) > 0)
    assert set(weight[both].sign().tolist()) == {-1.0, 0.0, 1.0}
    assert not bool((weight[~both] * task.hidden_train[:, ~both] < 0).any())
    assert int(weight.count_nonzero()) == 24
    assert torch.allclose(weight[weight != 0].abs(), weight.abs().max())


def gelu(hidden: Tensor) -> Tensor:
    """What a GELU makes of values that a ReLU cut: never far below zero."""
    return F.gelu(hidden - 0.5)


@pytest.mark.parametrize("name", TUNERS)
def test_a_network_without_hidden_units_is_skipped(name):
    """No hidden unit at all, as of an LSTM or a linear model, is a reason and no error; GELU units are none."""
    task, tuner = digits_task(), TUNERS[name]
    empty = {part: getattr(task, part)[:, :0] for part in ("hidden_train", "hidden_valid")}
    none = dataclasses.replace(task, **empty, layer_of=task.layer_of[:0])
    assert tuner.skip(none) == "the network has no hidden units"
    smooth = dataclasses.replace(task, hidden_train=gelu(task.hidden_train), hidden_valid=gelu(task.hidden_valid))
    assert tuner.skip(smooth) is None
