"""What a user forbids: how it is written, what a task says of it, and that nothing chosen breaks it."""

import copy
import dataclasses

import pytest
import torch
import tunebench_calibration
import tunebench_synapse
from digits import digits_task
from optuna.distributions import IntDistribution

from tunebench import LogitEdit, Tuner, UsageError
from tunebench.networks.activations import forward
from tunebench.selection.constraints import constrained, layers_of, misfit, protect_text, protected_of
from tunebench.selection.outputs import Outputs, View
from tunebench.selection.search import search
from tunebench.selection.selector import SearchOptions, Selector
from tunebench.training import limited


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", (0, 1, 2)),
        ("0,2", (0, 2)),
        ("-1", (2,)),
        ("-1,0", (0, 2)),
        ("not 0", (1, 2)),
        ("not 0,-2", (2,)),
        ("not 0,1,2", ()),
    ],
)
def test_layers_are_counted_from_either_end(text, expected):
    """Numbers from 0 or from the last by -1, those named or all but those."""
    assert layers_of(text, 3) == expected


@pytest.mark.parametrize(("text", "count", "has"), [("3", 3, "0 to 2"), ("not -4", 3, "0 to 2"), ("0", 0, "no hidden")])
def test_a_layer_that_the_network_lacks(text, count, has):
    """The error says which layers there are."""
    with pytest.raises(UsageError, match=f"names layer -?\\d; the network has .*{has}"):
        layers_of(text, count)


def test_protected_classes_have_one_text():
    """What is written is read, in ascending order of classes."""
    assert protect_text({7: 0.0, 3: 0.5}) == "3:0.5,7:0"
    assert protected_of("3:0.5,7:0") == ((3, 0.5), (7, 0.0))
    assert protected_of("") == ()


def test_a_task_tells_tuners_what_is_forbidden():
    """The limits of the options stand in the task; without one it says so."""
    task = digits_task()
    assert bool(constrained(task, SearchOptions()).may_join.all())
    options = SearchOptions(max_steps=7, protect="3:0.5", synapse_layers="-1", max_new_params=2, max_weight=0.5)
    told = constrained(task, options)
    assert (told.max_steps, told.protect, told.synapse_layers) == (7, ((3, 0.5),), (1,))
    assert (told.max_new_params, told.max_weight) == (2, 0.5)
    assert bool((told.may_join == (task.layer_of == 1)).all())
    assert misfit(task, options) is None
    assert "names layer 2" in misfit(task, SearchOptions(synapse_layers="2"))


def test_training_is_limited_by_the_task():
    """Five epochs of its samples and its own limit, whichever is less; a number of samples knows no limit."""
    task = constrained(digits_task(), SearchOptions(max_steps=20))
    assert limited(2000, task) == 20
    assert limited(10, task) == 10
    assert limited(2000, constrained(task, SearchOptions())) == limited(2000, len(task.y_train)) > 20


def tuner_named(name):
    """A bundled tuner without the plugin host."""
    bundled = [*tunebench_synapse.tunebench_tuners(), *tunebench_calibration.tunebench_tuners()]
    return next(tuner for tuner in bundled if tuner.name == name)


def choices(selection):
    """Every choice of every variant."""
    return [(variant, c) for variant, found in selection.chosen.items() for c in found.values()]


def logits_of(task, candidate):
    """What a chosen network puts out on validation."""
    return View(Outputs(task)).logits(candidate.output, candidate.shift)


def losses(logits, task, number):
    """Samples of a class that ``logits`` have wrong more than the original has, on balance."""
    mine = task.y_valid == number
    before, now = (int(((table.argmax(1) == task.y_valid) & mine).sum()) for table in (task.logits_valid, logits))
    return before - now


class Network(Tuner):
    """Returns a network whose target bias is raised, by so much as is asked for."""

    name = "network"

    def search_space(self):
        """Sizes of the bias."""
        return {"bias": IntDistribution(0, 6)}

    def tune(self, task, params, prepared):
        """A copy with another bias."""
        model = copy.deepcopy(task.model)
        with torch.no_grad():
            model[-1].bias[task.target] += params["bias"] / 4
        return model


@pytest.mark.parametrize("tuner", [tuner_named("logit-bias"), tuner_named("smvt-sj"), Network()], ids=lambda t: t.name)
@pytest.mark.parametrize("points", [0.0, 2.0, 5.0])
def test_no_choice_of_any_variant_breaks_a_protection(tuner, points):
    """Plain, shifted, certified: class 1, from which a larger bias takes most, keeps its recall less so many points."""
    task, harmed = digits_task(), 1
    allowed = int(points * int((task.y_valid == harmed).sum()) / 100 + 1e-9)
    free = search(tuner, task, SearchOptions(trials=8, budget=5.0, confidence=0.6))
    assert max(losses(logits_of(task, c), task, harmed) for _, c in choices(free)) > allowed
    options = SearchOptions(trials=8, budget=5.0, confidence=0.6, protect=f"{harmed}:{points:g}")
    kept = search(tuner, task, options)
    assert kept.chosen.keys() == free.chosen.keys()
    assert max(losses(logits_of(task, c), task, harmed) for _, c in choices(kept)) <= allowed


@pytest.mark.parametrize("points", [0.0, 2.0, 5.0])
def test_the_best_bias_under_a_protection(points):
    """No bias, by brute force over every breakpoint, has more hits and keeps the budget and the protected class."""
    task = digits_task()
    options = SearchOptions(budget=5.0, protect=f"1:{points:g}")
    found = search(tuner_named("logit-bias"), task, options).chosen["plain"][5.0].score
    others = task.logits_valid.clone()
    others[:, 8] = -torch.inf
    edges = sorted((others.max(1).values - task.logits_valid[:, 8]).double().tolist())
    best = (0, 0)
    for low, high in zip([0.0, *edges], [*edges, edges[-1] + 2], strict=True):
        if high <= 0 or high - low < 1e-5:
            continue
        logits = task.logits_valid.double()
        logits[:, 8] += (max(low, 0) + high) / 2
        right = logits.argmax(1) == task.y_valid
        loss = int((task.logits_valid.argmax(1) == task.y_valid).sum()) - int(right.sum())
        spared = losses(logits, task, 1) <= int(points * int((task.y_valid == 1).sum()) / 100 + 1e-9)
        if spared and loss <= int(0.05 * len(task.y_valid)):
            best = max(best, (int(right[task.y_valid == 8].sum()), int(right.sum())))
    assert (found.hits, found.correct) == best


class Joins(Tuner):
    """A synapse of weight 1 from every unit of both layers, scaled by the host; it knows of no limit."""

    name, scalable = "joins", True

    def tune(self, task, params, prepared):
        """All units at once."""
        return LogitEdit.of_target(task, task.hidden_train.new_full((48,), 0.1))


@pytest.mark.parametrize(
    "limits", [{"synapse_layers": "0"}, {"max_new_params": 31}, {"max_weight": 1e-9}], ids=lambda d: next(iter(d))
)
def test_what_breaks_a_limit_is_not_chosen(limits):
    """An edit that would win otherwise is refused whatever its scale, whether the tuner knows of the limit or not."""
    task = digits_task()
    assert any(c.trial for _, c in choices(search(Joins(), task, SearchOptions(budget=5.0))))
    chosen = choices(search(Joins(), task, SearchOptions(budget=5.0, **limits)))
    assert all(c.trial == 0 or float(c.output.weight.abs().max()) <= 1e-9 for _, c in chosen)
    assert search(Joins(), task, SearchOptions(budget=5.0, max_new_params=32)).chosen["plain"][5.0].trial == 1


def test_what_no_multiple_may_be_scores_as_the_original():
    """A search learns that a forbidden edit gains nothing, also after another that gains."""
    options = SearchOptions(budget=5.0, max_new_params=16)
    task = constrained(digits_task(), options)
    selector = Selector(task, options)
    weight = task.hidden_train.new_zeros(48)
    weight[32:] = 0.1
    allowed, forbidden = (LogitEdit.of_target(task, it) for it in (weight, torch.full_like(weight, 0.1)))
    original = selector.unchanged.score
    assert selector.add_ray(1, {}, allowed).hits > original.hits
    assert selector.add_ray(2, {}, forbidden) == original


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_weights_are_as_large_as_they_may_be(share):
    """A bound below what the search would choose is kept, and does not cost what lies within it."""
    task = digits_task()
    free = search(Joins(), task, SearchOptions(budget=5.0)).chosen["plain"][5.0]
    most = share * float(free.output.weight.abs().max())
    found = search(Joins(), task, SearchOptions(budget=5.0, max_weight=most)).chosen["plain"][5.0]
    assert 0 < float(found.output.weight.abs().max()) <= most
    assert found.score.hits <= free.score.hits


def test_a_network_may_not_grow_either():
    """Parameters that were zero and are not count as new."""
    task = digits_task()
    with torch.no_grad():
        task = dataclasses.replace(task, model=copy.deepcopy(task.model))
        task.model[-1].bias[task.target] = 0.0
    task = dataclasses.replace(task, logits_valid=forward(task.model, task.x_valid))
    for most, wins in ((None, True), (1, True), (0, False)):
        found = search(Network(), task, SearchOptions(trials=8, budget=5.0, max_new_params=most))
        assert bool(found.chosen["plain"][5.0].trial) == wins
