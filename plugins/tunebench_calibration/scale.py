"""Factors on logits: of the targets alone, or of every class by the length of its weights (Kang et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tunebench import LogitEdit, Tuner, TuningTask
from tunebench.training import output_layer_of
from tunebench_calibration.bias import HONOURED

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class LayerTuner(Tuner):
    """What both have in common: the output layer as it is, and when there is none to change."""

    def skip(self, task: TuningTask) -> str | None:
        """The output layer has to be one that can be edited, and its weights may change."""
        if output_layer_of(task) is None:
            return "no Linear layer or averaged 1 x 1 convolution makes the logits straight from hidden units"
        last = task.layer_of == task.layer_of.max()
        return None if bool(task.may_join[last].all()) else "the weights of the output layer may not change"

    def prepare(self, task: TuningTask) -> LogitEdit:
        """Weight (C, H) and bias (C,) of the output layer."""
        found = output_layer_of(task)
        assert found is not None
        return found


class TargetScale(LayerTuner):
    """Multiplies the target's logit by a factor, which the host solves exactly on either side of 1."""

    name = "target-scale"
    scalable = True
    honours = HONOURED

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: LogitEdit) -> LogitEdit:
        """The targets' logits once more, or once less where ``params["sign"]`` is -1."""
        edit, mine = LogitEdit.of_target(task), list(task.targets)
        edit.weight[mine], edit.bias[mine] = prepared.weight[mine], prepared.bias[mine]
        return edit.scaled(params.get("sign", 1))

    def rays(self, task: TuningTask, prepared: LogitEdit) -> list[tuple[dict[str, Any], LogitEdit]]:
        """Factors above 1 and below."""
        return [({"sign": sign}, self.tune(task, {"sign": sign}, prepared)) for sign in (1, -1)]


class TauNorm(LayerTuner):
    """Divides every class's output weights and bias by their length to the power of tau (Kang et al. 2020)."""

    name = "tau-norm"
    honours = HONOURED - {"max_weight", "protect"}

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """tau: 0 changes nothing, 1 gives all classes weights of one length, more turns their order round."""
        from optuna.distributions import FloatDistribution

        return {"tau": FloatDistribution(0.0, 2.0)}

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: LogitEdit) -> LogitEdit:
        """What that adds; lengths are relative to their mean, so that the logits keep their size."""
        length = prepared.weight.double().norm(dim=1)
        factor = (length.clamp(min=1e-12) / length.mean().clamp(min=1e-12)) ** -params["tau"] - 1
        factor = factor.where(length > 0, factor.new_zeros(())).to(prepared.weight)
        return LogitEdit(prepared.weight * factor[:, None], prepared.bias * factor)
