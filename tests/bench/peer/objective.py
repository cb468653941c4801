"""The trivial grid of `test_bench_grid.py` for benchopt: recall of one class, and accuracy, of given logits."""

from benchopt import BaseObjective


class Objective(BaseObjective):
    name = "recall of one class"

    def set_data(self, logits, labels):
        """Take what the data set gives."""
        self.logits, self.labels = logits, labels

    def get_objective(self):
        """What a solver sees."""
        return {"logits": self.logits}

    def evaluate_result(self, logits):
        """The figures of a result."""
        right = logits.argmax(1) == self.labels
        return {"value": 1 - float(right.mean()), "recall": float(right[self.labels == 8].mean())}

    def get_one_result(self):
        """A result for benchopt's own tests."""
        return {"logits": self.logits}
