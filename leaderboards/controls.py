"""Controls for `lift`, as a plugin file: what its parts are worth.

tunebench run leaderboards/mnist-converged/suite.toml --plugin leaderboards/controls.py -t lift-unaugmented -o OUT
"""

from tunebench_lift.lift import Lift

from tunebench import hookimpl


class Unaugmented(Lift):
    """`lift` on the training samples as they are: the same steps, weights and step sizes."""

    name = "lift-unaugmented"

    def search_space(self):
        """That of `lift` without its changes of images."""
        return {name: kind for name, kind in super().search_space().items() if name not in ("warp", "mirror")}

    def tune(self, task, params, prepared):
        """A fine-tuned copy."""
        return super().tune(task, {**params, "warp": "no", "mirror": "no"}, prepared)


@hookimpl
def tunebench_tuners():
    """The one control."""
    return [Unaugmented()]
