"""What tuners say of networks that they cannot work on."""

import dataclasses

import pytest
import torch
from digits import digits_task
from torch import nn

from tunebench.networks.activations import activations
from tunebench.networks.models import find_model
from tunebench.networks.probe import built
from tunebench.plugins import load_registry

LOGITS = "no Linear layer or averaged 1 x 1 convolution makes the logits straight from hidden units"
NO_UNITS = "the network has no hidden units"
REASONS = {
    "squeezenet1_1": {  # its last convolution is followed by a ReLU
        "camri": "the network has no Linear layer",
        "cs-p": "the network has no Linear layers to prune",
        "cs-p-ft": "the network has no Linear layers to prune",
        "cw-p": "the network has no Linear layers to prune",
        "dfr": "the network has no output layer to fit anew",
        "last-layer": "the network has no Linear layer",
        "tau-norm": LOGITS,
        "target-scale": LOGITS,
    },
    "no hidden units": {
        **dict.fromkeys(("afr", "dfr", "random-synapses", "refit", "refit-all", "refit-sparse"), NO_UNITS),
        **dict.fromkeys(("sj", "sj-k3", "sj-k4", "sj-k5", "smvt-sj", "smvt-sj-exact"), NO_UNITS),
        **dict.fromkeys(("camri", "last-layer"), "the output layer is not fed by the last hidden layer"),
        **dict.fromkeys(("tau-norm", "target-scale"), LOGITS),
    },
}
"""Network -> tuner -> reason; all other tuners work."""


def task_of(name):
    """Digit 8 on an untrained network of that name."""
    task = digits_task()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = name == "no hidden units"
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)) if linear else built(find_model(name), (1, 8, 8), 10)
    train, valid = (activations(model.eval(), x) for x in (task.x_train, task.x_valid))
    return dataclasses.replace(
        task, model=model, layer_of=train.layer_of, hidden_train=train.hidden, hidden_valid=valid.hidden,
        logits_train=train.logits, logits_valid=valid.logits,
    )  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_a_tuner_that_cannot_work_on_a_network_says_why(name):
    """In one line, which the cells of its row show; nobody else skips the network."""
    task, tuners = task_of(name), load_registry().tuners
    reasons = {tuner: found for tuner in tuners if (found := tuners[tuner].skip(task)) is not None}
    assert reasons == REASONS[name]
