"""A plugin of tuners that change nothing, for measuring what surrounds a tuner."""

from tunebench import LogitEdit, Tuner, hookimpl


class Trivial(Tuner):
    """Gives the original back."""

    def __init__(self, number):
        self.name = f"trivial-{number}"

    def tune(self, task, params, prepared):
        """An edit of zeros."""
        return LogitEdit.of_target(task)


@hookimpl
def tunebench_tuners():
    """Fifty of them."""
    return [Trivial(number) for number in range(50)]
