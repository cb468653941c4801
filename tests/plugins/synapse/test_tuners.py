"""The SJ family and its random control, on a small real network for handwritten digits."""

from __future__ import annotations

import dataclasses

import pluggy
import pytest
import torch
import tunebench_synapse
from digits import digits_task
from torch import Tensor
from tunebench_synapse import evaluate

from tunebench import LogitEdit, TargetClassTuner, Tuner, TuningTask
from tunebench.hookspecs import NAMESPACE

FAMILY = {"sj": 1, "smvt-sj": 2, "sj-k3": 3, "sj-k4": 4, "sj-k5": 5}


def tuners() -> dict[str, Tuner]:
    """What the package registers, by name, through the same hook as any plugin."""
    host = pluggy.PluginManager(NAMESPACE)
    host.add_hookspecs(TargetClassTuner)
    host.register(tunebench_synapse)
    return {tuner.name: tuner for found in host.hook.tunebench_tuners() for tuner in found}


def edit_of(name: str, task: TuningTask, **params: int) -> LogitEdit:
    """The edit that the named tuner returns."""
    tuner = tuners()[name]
    edit = tuner.tune(task, params, tuner.prepare(task))
    assert isinstance(edit, LogitEdit)
    return edit


def row(edit: LogitEdit) -> Tensor:
    """The weights of the target's logit, after checking that no other logit changes."""
    target = digits_task().target
    assert not edit.bias.any()
    assert edit.weight.dtype == torch.float32
    assert not edit.weight[[c for c in range(10) if c != target]].any()
    return edit.weight[target]


def test_the_package_registers_its_tuners():
    """Five ranks, the exact sweep and the control, all of them scalable."""
    found = tuners()
    assert set(found) == {*FAMILY, "smvt-sj-exact", "random-synapses"}
    assert all(tuner.scalable for tuner in found.values())


@pytest.mark.parametrize(("name", "k"), FAMILY.items())
def test_weights_are_thresholds_over_n(name, k):
    """The first n active neurons by count, threshold and index, each with its threshold / n."""
    task = digits_task()
    result = evaluate(task.hidden_train, task.logits_train, task.y_train, task.target, k)
    most = int(result.count.max())
    active = [i for i in range(len(result.count)) if result.count[i] > 0 and 2 * result.count[i] >= most]
    best = sorted(active, key=lambda i: (-int(result.count[i]), -float(result.threshold[i]), i))[:3]
    assert len(best) == 3
    expected = torch.zeros(task.hidden_train.shape[1])
    expected[best] = (result.threshold[best] / 3).float()
    assert torch.equal(row(edit_of(name, task, n=3)), expected)


@pytest.mark.parametrize(("name", "k"), FAMILY.items())
def test_family_keeps_the_flip_bound(name, k):
    """At scale 1 the edit gains target samples, and flips at most n (k - 1) samples of ``D_c``."""
    task = digits_task()
    for n in (1, 4, 24):
        edit = edit_of(name, task, n=n)
        synapses = int(edit.weight.count_nonzero())
        assert 0 < synapses <= n
        before = task.logits_train.argmax(1)
        after = (task.logits_train.double() + task.hidden_train.double() @ edit.weight.double().t()).argmax(1)
        others = (task.y_train != task.target) & (before == task.y_train)
        assert int((others & (after != task.y_train)).sum()) <= synapses * (k - 1)
        target = task.y_train == task.target
        assert int((after[target] == task.target).sum()) >= int((before[target] == task.target).sum())


def test_higher_rank_gives_higher_thresholds():
    """The family is ordered: more of ``D_c`` given up, more weight."""
    task = digits_task()
    total = [evaluate(task.hidden_train, task.logits_train, task.y_train, task.target, k) for k in FAMILY.values()]
    sums = [float(result.threshold.sum()) for result in total]
    assert sums == sorted(set(sums))


def test_more_synapses_than_active_neurons_are_all_of_them():
    """An n beyond the active neurons uses every one of them, with the weights that go with their number."""
    task = digits_task()
    active = len(tuners()["sj"].prepare(task).neurons)
    assert 0 < active < 48
    assert torch.equal(edit_of("sj", task, n=1000).weight, edit_of("sj", task, n=active).weight)


def without(task: TuningTask, rows: Tensor) -> TuningTask:
    """The task with the training samples of the mask left out."""
    names = ("x_train", "y_train", "hidden_train", "logits_train")
    return dataclasses.replace(task, **{name: getattr(task, name)[~rows] for name in names})


def impossible(which: str) -> tuple[TuningTask, str]:
    """A task on which no synapse can help, and what the reason has to say."""
    task = digits_task()
    target = task.y_train == task.target
    right = task.logits_train.argmax(1) == task.y_train
    if which == "no D_w":
        return without(task, target & ~right), "no training sample of class 8 is misclassified"
    if which == "no D_c":
        return without(task, ~target & right), "no training sample of another class is classified right"
    return dataclasses.replace(task, hidden_train=torch.zeros_like(task.hidden_train)), "no single synapse"


@pytest.mark.parametrize("name", [*FAMILY, "smvt-sj-exact"])
@pytest.mark.parametrize("which", ["no D_w", "no D_c", "max_count 0"])
def test_nothing_to_do_returns_the_original_with_a_reason(name, which):
    """Without ``D_w``, ``D_c`` or a count above 0 the edit is zero, and `prepare` says why."""
    task, reason = impossible(which)
    tuner = tuners()[name]
    prepared = tuner.prepare(task)
    assert prepared.reason.startswith(reason)
    assert tuner.skip(task) is None
    assert not tuner.tune(task, {"n": 3}, prepared).weight.any()
    assert [(params, bool(edit.weight.any())) for params, edit in tuner.rays(task, prepared)] == [({"n": 1}, False)]


def test_no_reason_when_there_are_synapses():
    """`reason` is None where the tuner has something to offer."""
    assert all(tuner.prepare(digits_task()).reason is None for tuner in tuners().values())


def test_rays_are_the_edits_of_the_search_space():
    """Every n of the space once, each equal to what `tune` returns for it."""
    task = digits_task()
    for name in ("sj", "random-synapses"):
        tuner = tuners()[name]
        prepared = tuner.prepare(task)
        rays = tuner.rays(task, prepared)
        space = tuner.search_space()["n"]
        last = space.high if name == "random-synapses" else min(space.high, len(prepared.neurons))
        assert [params for params, _ in rays] == [{"n": n} for n in range(space.low, last + 1)]
        assert all(torch.equal(edit.weight, tuner.tune(task, params, prepared).weight) for params, edit in rays)


def test_exact_sweep_is_smvt_sj_for_every_n():
    """No hyperparameters; one ray per active neuron, those of SMVT-SJ; n = 1 without parameters."""
    task = digits_task()
    exact = tuners()["smvt-sj-exact"]
    prepared = exact.prepare(task)
    assert dict(exact.search_space()) == {}
    rays = exact.rays(task, prepared)
    assert len(rays) == len(prepared.neurons) > 1
    for params, edit in rays:
        assert torch.equal(edit.weight, edit_of("smvt-sj", task, **params).weight)
    assert torch.equal(exact.tune(task, {}, prepared).weight, rays[0][1].weight)


@pytest.mark.parametrize("n", [1, 5, 24])
def test_random_control_matches_the_norm(n):
    """n random firing neurons with positive weights, as long as SMVT-SJ's edit for the same n."""
    task = digits_task()
    weight = row(edit_of("random-synapses", task, n=n))
    assert int((weight > 0).sum()) == int(weight.count_nonzero()) == n
    assert bool((task.hidden_train[:, weight > 0] > 0).any(0).all())
    assert float(weight.norm()) == pytest.approx(float(edit_of("smvt-sj", task, n=n).weight.norm()), rel=1e-5)


def test_random_control_is_seeded():
    """The same seed and n give the same neurons, another seed others; no global generator is used."""
    task = digits_task()
    state = torch.random.get_rng_state()
    first = edit_of("random-synapses", task, n=5).weight
    assert torch.equal(first, edit_of("random-synapses", task, n=5).weight)
    assert not torch.equal(first, edit_of("random-synapses", dataclasses.replace(task, seed=12), n=5).weight)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_random_control_without_smvt_sj_has_unit_norm():
    """Where SMVT-SJ finds nothing the control still runs, with norm 1; on silent neurons it is zero."""
    task, _ = impossible("no D_w")
    assert float(edit_of("random-synapses", task, n=4).weight.norm()) == pytest.approx(1)
    silent, _ = impossible("max_count 0")
    assert not edit_of("random-synapses", silent, n=4).weight.any()


@pytest.mark.parametrize("name", [*FAMILY, "smvt-sj-exact", "random-synapses"])
def test_unfit_tasks_are_skipped(name):
    """Where every class is a target, or no layer may get a synapse, there is a reason."""
    task, tuner = digits_task(), tuners()[name]
    assert tuner.skip(task) is None
    assert tuner.skip(dataclasses.replace(task, targets=(8, 3))) is None
    assert "every class" in tuner.skip(dataclasses.replace(task, targets=tuple(range(10))))
    assert "no hidden layer" in tuner.skip(dataclasses.replace(task, synapse_layers=()))
