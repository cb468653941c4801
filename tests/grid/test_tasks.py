"""What a tuner sees of an original, and how the host notices that it was changed."""

import copy

import pytest
import torch
from digits import digits_task, make_task

from tunebench import DataError, LogitEdit
from tunebench.datasets import Place, open_dataset
from tunebench.grid.tasks import TENSORS, fingerprint, load_task, load_test, require_targets
from tunebench.networks.models import find_model
from tunebench.networks.originals import ensure_original, load_split, materialise, original_key
from tunebench.networks.recipes import Recipe

SPEC = find_model("mlp:12-8")
CPU = torch.device("cpu")


def key_of(protocol="holdout", seed=0):
    """The key of a small original that is in the cache."""
    dataset = open_dataset("digits", Place(None))
    materialise(dataset)
    key = original_key(dataset, SPEC, Recipe("quick", lr=0.05, steps=30), protocol, seed)
    ensure_original(key, SPEC)
    return key


def test_a_task_is_train_and_validation():
    """The two parts are disjoint, together all of train, and the tables are the model's own."""
    key = key_of()
    task = load_task(key, SPEC, (8,), "sj", CPU)
    train = load_split(key.data, "train")
    assert len(task.y_train) + len(task.y_valid) == len(train.y)
    together = torch.cat([task.x_train, task.x_valid]).flatten(1)
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, train.x.flatten(1).tolist()))
    with torch.no_grad():
        torch.testing.assert_close(task.model(task.x_valid), task.logits_valid)
        torch.testing.assert_close(task.model[:3](task.x_valid), task.hidden_valid[:, task.layer_of == 0])
    assert (task.targets, task.target, task.classes, task.learning_rate) == ((8,), 8, 10, 0.05)


def test_only_the_paper_protocol_selects_on_test():
    """Under --protocol paper the selection split is test itself; otherwise it shares no row with it."""
    paper, holdout = (load_task(key_of(protocol), SPEC, (8,), "sj", CPU) for protocol in ("paper", "holdout"))
    test = load_test(key_of(), (8,), CPU)
    assert torch.equal(paper.x_valid, test.x)
    assert len(paper.y_train) == 1198
    assert not torch.equal(holdout.x_valid[:10], test.x[:10])


def test_a_cells_seed_comes_from_its_names():
    """Another tuner, target or seed gets other random numbers; the same names get the same."""
    key = key_of()
    seeds = [
        load_task(key, SPEC, targets, tuner, CPU).seed
        for targets, tuner in [((8,), "sj"), ((8,), "cw-p"), ((3,), "sj")]
    ]
    assert len({*seeds, load_task(key_of(seed=1), SPEC, (8,), "sj", CPU).seed}) == 4
    assert load_task(key, SPEC, (8,), "sj", CPU).seed == seeds[0]


def test_a_target_without_samples():
    """The class, the split and the counts are named."""
    with pytest.raises(DataError, match=r"target class 1 has no sample in the test split; .* \[2, 0, 1\]"):
        require_targets(torch.tensor([0, 2, 0]), (0, 1), "test")


@pytest.mark.parametrize("name", TENSORS)
def test_every_tensor_is_watched(name):
    """A change of one number in any tensor of the task shows."""
    task = digits_task()
    changed = make_task(task.model, task.targets, **{name: getattr(task, name).clone()})
    assert fingerprint(changed) == fingerprint(task)
    getattr(changed, name).view(-1)[3] += 1
    assert fingerprint(changed) != fingerprint(task)


def test_the_model_is_watched():
    """A change of one weight shows, however small."""
    task = digits_task()
    changed = make_task(copy.deepcopy(task.model), task.targets)
    assert fingerprint(changed) == fingerprint(task)
    with torch.no_grad():
        changed.model[1].weight[0, 0] = torch.nextafter(changed.model[1].weight[0, 0], torch.tensor(9.0))
    assert fingerprint(changed) != fingerprint(task)


def test_edits_of_the_target():
    """`LogitEdit.of_target` touches one row, and `scaled` goes as many times as far."""
    task = digits_task()
    edit = LogitEdit.of_target(task, torch.ones(48), 2.0).scaled(0.5)
    assert edit.weight.sum(1).tolist() == [0.0] * 8 + [24.0, 0.0]
    assert edit.bias.tolist() == [0.0] * 8 + [1.0, 0.0]
    assert not LogitEdit.of_target(task).weight.any()
