# ruff: noqa: D102  (what a method should do is told by `Tuner`, what it does wrong by the class)
"""Tuners that break a promise beyond their result: edits, skips, unusual tasks, global state."""

from __future__ import annotations

import random
import warnings

import numpy as np
import torch
from broken_tuners import Sound, SoundNetwork
from optuna.distributions import CategoricalDistribution, IntDistribution

from tunebench import LogitEdit
from tunebench.testing import small_task


class GatedEdit(LogitEdit):
    """An edit that means to act on confident samples only; the host knows nothing of that."""

    gate = 0.9


class GatesItsEdit(Sound):
    def tune(self, task, params, prepared):
        edit = super().tune(task, params, prepared)
        return GatedEdit(edit.weight, edit.bias)


class ScalesANetwork(SoundNetwork):
    scalable = True


class JoinsEveryLayer(Sound):
    honours = frozenset({"synapse_layers"})

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, torch.ones(task.hidden_train.shape[1]))


class AddsTwo(Sound):
    scalable = True
    honours = frozenset({"max_weight", "max_new_params"})

    def tune(self, task, params, prepared):
        weight = torch.zeros(task.hidden_train.shape[1])
        weight[:2] = params["bias"]
        return LogitEdit.of_target(task, weight)


class HonoursAWish(Sound):
    honours = frozenset({"max_wieght"})


class SkipsWithTrue(Sound):
    def skip(self, task):
        return True if len(task.targets) > 1 else None


class SkipsSilently(Sound):
    def skip(self, task):
        return "" if task.classes == 2 else None


class SkipRaises(Sound):
    def skip(self, task):
        if task.classes == 47:
            raise KeyError("47")


class AtLeastThreeClasses(Sound):
    def tune(self, task, params, prepared):
        task.logits_train.topk(3, dim=1)
        return super().tune(task, params, prepared)


class TenClassesOnly(Sound):
    def tune(self, task, params, prepared):
        edit = LogitEdit(torch.zeros(10, task.hidden_train.shape[1]), torch.zeros(10))
        return edit if task.classes > 2 else super().tune(task, params, prepared)


class PrecisionOfNothing(Sound):
    def tune(self, task, params, prepared):
        predicted = task.logits_train.argmax(1)
        false_alarms = predicted[task.y_train != task.target] == task.target
        if task.classes == 10:
            1 / int((predicted == task.target).sum() + 0 * false_alarms.sum())
        return super().tune(task, params, prepared)


class MeanOfMistakes(Sound):
    def tune(self, task, params, prepared):
        wrong = task.logits_train.argmax(1) != task.y_train
        return LogitEdit.of_target(task, weight=0.01 * task.hidden_train[wrong].mean(0))


class OneTargetOnly(Sound):
    def tune(self, task, params, prepared):
        (_only,) = task.targets
        return super().tune(task, params, prepared)


class SeedsEverything(Sound):
    def tune(self, task, params, prepared):
        torch.manual_seed(task.seed)
        return super().tune(task, params, prepared)


class ShufflesWithRandom(Sound):
    def tune(self, task, params, prepared):
        random.shuffle([1, 2, 3])
        return super().tune(task, params, prepared)


class TakesAllThreads(Sound):
    def tune(self, task, params, prepared):
        torch.set_num_threads(torch.get_num_threads() + 1)
        return super().tune(task, params, prepared)


class SilencesWarnings(Sound):
    def tune(self, task, params, prepared):
        warnings.simplefilter("ignore")
        return super().tune(task, params, prepared)


class NumpyInItsRays(Sound):
    scalable = True

    def search_space(self):
        return {}

    def rays(self, task, prepared):
        return [({"n": np.int64(n)}, LogitEdit.of_target(task, bias=float(n))) for n in (1, 2)]

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=1.0)


class TuplesInItsRays(NumpyInItsRays):
    def rays(self, task, prepared):
        return [({"pair": (1, n)}, LogitEdit.of_target(task, bias=float(n))) for n in (1, 2)]

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias={(1, 1): 1.0, (1, 2): 2.0}[params.get("pair", (1, 1))])


class ChoiceWithAControl(Sound):
    def search_space(self):
        return {"kind": CategoricalDistribution(["a\x00", "b\x1b[31m"])}

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=1.0)


class ChoiceOfTuples(Sound):
    def search_space(self):
        return {"pair": CategoricalDistribution([(1, 2), (3, 4)])}

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=float(params["pair"][0]))


class ChoiceOfNumpyNumbers(Sound):
    def search_space(self):
        return {"n": CategoricalDistribution([np.int64(1), np.int64(2)])}

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=float(params["n"]))


class BeyondEveryNumber(Sound):
    def search_space(self):
        return {"bits": IntDistribution(0, 2**60)}

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=1.0)


class FailsInside(Sound):
    def tune(self, task, params, prepared):
        assert not 0.1 < params["bias"] < 0.9
        return super().tune(task, params, prepared)


class CountsPreparations(Sound):
    """Later calls of `prepare` give more; the first three, which other checks compare, give the same."""

    calls = 0

    def prepare(self, task):
        if task.seed == small_task().seed:
            self.calls += 1
        return max(0, self.calls - 5)

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=2.0 + prepared)


class Pops(Sound):
    """Sound: the parameters that it is given are its own, to take apart and to add to."""

    def tune(self, task, params, prepared):
        params["more"] = 1
        return LogitEdit.of_target(task, bias=params.pop("bias"))


class PopsForANetwork(SoundNetwork):
    """Sound: the same, and it returns a network."""

    def tune(self, task, params, prepared):
        model = super().tune(task, params, prepared)
        params.clear()
        return model


class Scripted(SoundNetwork):
    """Sound: what it returns is scripted."""

    def tune(self, task, params, prepared):
        return torch.jit.script(super().tune(task, params, prepared).eval())


class Traced(SoundNetwork):
    """Sound: what it returns is traced."""

    def tune(self, task, params, prepared):
        return torch.jit.trace(super().tune(task, params, prepared).eval(), task.x_valid[:2])


class Frozen(Scripted):
    def tune(self, task, params, prepared):
        return torch.jit.freeze(super().tune(task, params, prepared))
