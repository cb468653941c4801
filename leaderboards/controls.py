"""Controls for `lift`, as a plugin file: what its parts are worth.

tunebench run leaderboards/mnist-converged/suite.toml --plugin leaderboards/controls.py -t lift-unaugmented -o OUT
"""

from tunebench_lift.lift import Lift

from tunebench import hookimpl
from tunebench.training import minibatches


class Unaugmented(Lift):
    """`lift` on the training samples as they are: trainings as many and as long, and averaged alike."""

    name = "lift-unaugmented"

    def batches(self, task, steps, seed):
        """``steps`` batches of inputs and labels."""
        return minibatches(task.x_train, task.y_train, steps, seed)


@hookimpl
def tunebench_tuners():
    """The one control."""
    return [Unaugmented()]
