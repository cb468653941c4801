"""The mean of networks: weights are averaged, what batches were normalised by is measured anew."""

import copy
import dataclasses

import pytest
import torch
from digits import digits_task
from torch import nn

from tunebench.training import average, minibatches


@pytest.fixture(scope="module")
def task():
    """Digit 8 on a small under-trained network."""
    return digits_task()


@pytest.fixture(scope="module")
def conv(task):
    """The same on an untrained convolution with normalisation."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
        return dataclasses.replace(task, model=nn.Sequential(*parts).eval())


def test_an_average_is_the_mean_of_the_weights(task):
    """Of networks without normalisation every parameter is the mean, and one network is itself."""
    models = [copy.deepcopy(task.model) for _ in range(3)]
    with torch.no_grad():
        for k, model in enumerate(models):
            model[5].bias.fill_(k)
    assert torch.equal(average(models, task)[5].bias, torch.ones(10))
    assert torch.equal(average(models[2:], task)[5].bias, models[2][5].bias)
    assert torch.equal(models[0][5].bias, torch.zeros(10))


def test_an_average_measures_its_normalisation_anew(conv):
    """Running statistics are those of the training samples under the mean weights, not a mean of two."""
    other = copy.deepcopy(conv.model)
    with torch.no_grad():
        other[0].weight.neg_()
        other[0].weight[0] *= 3
    soup = average([conv.model, other], conv)
    with torch.no_grad():
        rows = torch.cat([x for x, _ in minibatches(conv.x_train, conv.y_train, 18, conv.seed)])
        expected = soup[0](rows).mean((0, 2, 3))
    torch.testing.assert_close(soup[1].running_mean, expected, rtol=1e-3, atol=1e-4)
    assert not soup.training
