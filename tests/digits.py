"""A real task small enough for unit tests: scikit-learn digits and an under-trained small network."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from tunebench import LogitEdit, Tuner, TuningTask
from tunebench.networks.edits import anatomy_of, fold
from tunebench.networks.training import minibatches, sgd

LEARNING_RATE = 0.05


def hidden_and_logits(model: nn.Sequential, x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs of every ReLU side by side, and the logits."""
    hidden = []
    with torch.no_grad():
        for module in model:
            x = module(x)
            if isinstance(module, nn.ReLU):
                hidden.append(x)
    return torch.cat(hidden, 1), x


def make_task(model: nn.Sequential, targets: tuple[int, ...], **changes: Any) -> TuningTask:
    """The task of raising ``targets`` of a network for digits: 1,200 training and 597 validation samples."""
    digits = load_digits()
    x = torch.from_numpy(digits.data).float().div(16).sub(0.3).div(0.37).view(-1, 1, 8, 8)
    y = torch.from_numpy(digits.target).long()
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    train, valid = order[:1200], order[1200:]
    hidden, logits = hidden_and_logits(model, x)
    widths = [part.out_features for part in model if isinstance(part, nn.Linear)][:-1]
    fields = {
        "model": model,
        "targets": targets,
        "target": targets[0],
        "classes": 10,
        "x_train": x[train],
        "y_train": y[train],
        "x_valid": x[valid],
        "y_valid": y[valid],
        "hidden_train": hidden[train],
        "hidden_valid": hidden[valid],
        "logits_train": logits[train],
        "logits_valid": logits[valid],
        "layer_of": torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(widths)),
        "seed": 11,
        "device": torch.device("cpu"),
        "learning_rate": LEARNING_RATE,
    }
    return TuningTask(**{**fields, **changes})


@functools.cache
def digits_task() -> TuningTask:
    """Digit 8 on a network after 150 steps; shared by all tests, as no tuner may change it."""
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10)
        )
    untrained = make_task(model.eval(), (8,))
    sgd(model, minibatches(untrained.x_train, untrained.y_train, 150, seed=0), F.cross_entropy, LEARNING_RATE)
    return make_task(model, (8,))


def target_recall(model: nn.Module, task: TuningTask) -> float:
    """TA on the training samples, as a fraction."""
    rows = torch.isin(task.y_train, torch.tensor(task.targets))
    with torch.no_grad():
        return float((model(task.x_train[rows]).argmax(1) == task.y_train[rows]).double().mean())


def tuned(tuner: Tuner, task: TuningTask, params: Mapping[str, Any]) -> nn.Module:
    """The network that the host makes of one trial of a tuner."""
    output = tuner.tune(task, params, tuner.prepare(task))
    return fold(task.model, output, anatomy_of(task)) if isinstance(output, LogitEdit) else output


def assert_keeps_the_rules(tuner: Tuner, task: TuningTask, params: Mapping[str, Any]) -> None:
    """A tuned copy in eval mode without gradients, the same for the same seed, and nothing else touched."""
    before = {name: copy.deepcopy(value) for name, value in vars(task).items()}
    torch.manual_seed(1)
    generator = torch.random.get_rng_state()
    model = tuned(tuner, task, params)
    assert torch.equal(torch.random.get_rng_state(), generator), "the global generator was used"
    torch.manual_seed(2)
    again = tuned(tuner, task, params).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items()), "not deterministic"
    assert model is not task.model
    assert not any(part.training for part in model.modules())
    assert all(parameter.grad is None for parameter in (*model.parameters(), *task.model.parameters()))
    for name, value in before.items():
        now = getattr(task, name)
        if isinstance(value, Tensor):
            assert torch.equal(value, now), f"{name} was changed"
    original = before["model"].state_dict()
    assert all(torch.equal(value, original[name]) for name, value in task.model.state_dict().items())
