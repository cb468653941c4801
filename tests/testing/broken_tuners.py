# ruff: noqa: D102  (what a method should do is told by `Tuner`, what it does wrong by the class)
"""Tuners with one deliberate fault each, and the check that has to find it."""

from __future__ import annotations

import copy
import itertools
import random

import torch
from optuna.distributions import FloatDistribution
from torch import nn

from tunebench import LogitEdit, Tuner


class Sound(Tuner):
    """Adds a searched constant to the target's logit; nothing is wrong with it."""

    name = "sound"

    def search_space(self):
        return {"bias": FloatDistribution(0.0, 2.0)}

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=params["bias"])


class SoundNetwork(Sound):
    """The same as a network."""

    def tune(self, task, params, prepared):
        model = copy.deepcopy(task.model)
        with torch.no_grad():
            model[-1].bias[task.target] += params["bias"]
        return model


class Shouts(Sound):
    name = "SOUND"


class StealsAName(Sound):
    name = "smvt-sj"


class ReturnsLogits(Sound):
    def tune(self, task, params, prepared):
        return task.logits_valid.clone()


class ReturnsNan(Sound):
    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=float("nan"))


class DropsAClass(SoundNetwork):
    def tune(self, task, params, prepared):
        return nn.Sequential(copy.deepcopy(task.model), nn.Linear(task.classes, task.classes - 1, device="meta"))


class WrongShape(SoundNetwork):
    def tune(self, task, params, prepared):
        return nn.Sequential(super().tune(task, params, prepared), nn.Unflatten(1, (1, -1)))


class DoublePrecision(SoundNetwork):
    def tune(self, task, params, prepared):
        return nn.Sequential(super().tune(task, params, prepared), ToDouble()).eval()


class ToDouble(nn.Module):
    def forward(self, x):
        return x.double()


class Raises(Sound):
    def tune(self, task, params, prepared):
        raise RuntimeError("no idea")


class SkipsEverything(Sound):
    def skip(self, task):
        return "not today"


class ElsewhereOnMeta(Sound):
    def tune(self, task, params, prepared):
        edit = super().tune(task, params, prepared)
        return LogitEdit(edit.weight.to("meta"), edit.bias.to("meta"))


class ListSpace(Sound):
    def search_space(self):
        return ["bias"]


class PlainNumbers(Sound):
    def search_space(self):
        return {"bias": (0.0, 2.0)}


class FailsAtTheEdge(Sound):
    def tune(self, task, params, prepared):
        if params["bias"] == 0.0:
            raise ZeroDivisionError("division by zero")
        return super().tune(task, params, prepared)


class OwnDice(Sound):
    dice = random.Random()

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=self.dice.random())


class CountsTrials(Sound):
    def __init__(self):
        self.count = itertools.count()

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=float(next(self.count)))


class ReusesItsBuffer(Sound):
    def prepare(self, task):
        return LogitEdit.of_target(task)

    def tune(self, task, params, prepared):
        prepared.bias[task.target] = params["bias"]
        return prepared


class TrainsTheOriginal(SoundNetwork):
    def tune(self, task, params, prepared):
        with torch.no_grad():
            task.model[-1].bias[task.target] += params["bias"]
        return copy.deepcopy(task.model)


class NormalisesTheData(Sound):
    def tune(self, task, params, prepared):
        task.x_train.sub_(task.x_train.mean())
        return super().tune(task, params, prepared)


class LeavesTrainingMode(SoundNetwork):
    def tune(self, task, params, prepared):
        task.model.train()
        return super().tune(task, params, prepared).eval()


class ReturnsTheOriginal(Sound):
    def tune(self, task, params, prepared):
        return task.model


class WrapsTheOriginal(Sound):
    def tune(self, task, params, prepared):
        return nn.Sequential(task.model, nn.Identity()).eval()


class ForgetsEval(SoundNetwork):
    def tune(self, task, params, prepared):
        return super().tune(task, params, prepared).train()


class BatchStatistics(SoundNetwork):
    def tune(self, task, params, prepared):
        return nn.Sequential(super().tune(task, params, prepared), Centred()).eval()


class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class KeepsTheGraph(Sound):
    def tune(self, task, params, prepared):
        weight = torch.ones(task.hidden_train.shape[1], requires_grad=True)
        return LogitEdit.of_target(task, weight=0.01 * weight)


class LeavesGradients(SoundNetwork):
    def tune(self, task, params, prepared):
        model = super().tune(task, params, prepared)
        model(task.x_train[:8]).sum().backward()
        return model


class EnablesGradients(SoundNetwork):
    def tune(self, task, params, prepared):
        return AlwaysGradients(super().tune(task, params, prepared)).eval()


class AlwaysGradients(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        with torch.enable_grad():
            return self.inner(x)


class LocalClass(SoundNetwork):
    def tune(self, task, params, prepared):
        class Hidden(nn.Module):
            def __init__(self, inner):
                super().__init__()
                self.inner = inner

            def forward(self, x):
                return self.inner(x)

        return Hidden(super().tune(task, params, prepared)).eval()


class LooseTensor(SoundNetwork):
    def tune(self, task, params, prepared):
        return Offset(copy.deepcopy(task.model), task.target, params["bias"]).eval()


class Offset(nn.Module):
    def __init__(self, inner, target, bias):
        super().__init__()
        self.inner = inner
        self.offset = torch.zeros(inner[-1].out_features)
        self.offset[target] = bias

    def forward(self, x):
        return self.inner(x) + self.offset
