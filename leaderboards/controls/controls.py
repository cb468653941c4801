r"""Controls, as a plugin file: what the parts of `lift` are worth, and `refit-sparse` with as few synapses as `sj` has.

tunebench run leaderboards/controls/suite.toml --plugin leaderboards/controls/controls.py -o OUT
"""

from collections.abc import Mapping

from optuna.distributions import BaseDistribution, IntDistribution
from tunebench_lift.lift import Lift
from tunebench_refit.target_row import RefitSparse

from tunebench import hookimpl
from tunebench.training import minibatches


class Unaugmented(Lift):
    """`lift` on the training samples as they are: trainings as many and as long, and averaged alike."""

    name = "lift-unaugmented"

    def batches(self, task, steps, seed):
        """``steps`` batches of inputs and labels."""
        return minibatches(task.x_train, task.y_train, steps, seed)


class Once(Lift):
    """The first training of `lift` alone: what it gains within the steps of one trial."""

    name = "lift-once"

    def prepare(self, task):
        """One network, which is its own mean."""
        return [self.trained(task.model, task, task.seed)]


class SevenSynapses(RefitSparse):
    """`refit-sparse` with at most 7 synapses where it may have 16: what is left of its gain below eight."""

    name = "refit-sparse-7"

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """As `refit-sparse`, but for the number of units."""
        return {**super().search_space(), "n": IntDistribution(1, 7)}


@hookimpl
def tunebench_tuners():
    """All controls."""
    return [Unaugmented(), Once(), SevenSynapses()]
