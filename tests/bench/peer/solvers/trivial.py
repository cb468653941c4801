"""Twenty solvers that change nothing."""

from benchopt import BaseSolver


class Solver(BaseSolver):
    name = "trivial"
    sampling_strategy = "run_once"
    parameters = {"number": list(range(20))}  # noqa: RUF012

    def set_objective(self, logits):
        """Take what the objective gives."""
        self.logits = logits

    def run(self, _):
        """Do nothing, once."""
        self.result = self.logits.copy()

    def get_result(self):
        """What is scored."""
        return {"logits": self.result}
