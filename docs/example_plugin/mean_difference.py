"""The tuner mean-difference: raise the target along what tells its samples from all others."""

from optuna.distributions import FloatDistribution

from tunebench import LogitEdit, Tuner


class MeanDifference(Tuner):
    """Adds to the target's logit how far a sample lies on the target's side, between the two mean activations."""

    name = "mean-difference"

    def search_space(self):
        """The hyperparameters, as Optuna distributions; tunebench searches them on validation data."""
        return {"strength": FloatDistribution(0.0, 3.0)}

    def tune(self, task, params, prepared):
        """A LogitEdit on top of task.model, or a tuned copy of task.model."""
        mine = task.y_train == task.target
        ours, others = task.hidden_train[mine].mean(0), task.hidden_train[~mine].mean(0)
        direction = (ours - others) / (ours - others).square().sum().clamp(min=1e-12)
        halfway = float(direction @ (ours + others)) / 2
        return LogitEdit.of_target(task, params["strength"] * direction, bias=-params["strength"] * halfway)
