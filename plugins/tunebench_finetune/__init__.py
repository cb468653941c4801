"""Rivals that retrain: other losses on the whole network, or the output layer alone (docs/methods.md, section 4)."""

from __future__ import annotations

from optuna.distributions import FloatDistribution

from tunebench import Tuner, hookimpl
from tunebench_finetune.camri import Camri
from tunebench_finetune.fine_tuning import FineTuning
from tunebench_finetune.group_dro import group_robust
from tunebench_finetune.jtt import JustTrainTwice
from tunebench_finetune.last_layer import LastLayer
from tunebench_finetune.losses import (
    class_weighted,
    dynamically_weighted_balanced,
    logit_adjusted,
    original_loss,
    vector_scaled,
)
from tunebench_finetune.schedule import Schedule
from tunebench_finetune.soup import Soup


@hookimpl
def tunebench_tuners() -> list[Tuner]:
    """The tuners of this family."""
    weight = FloatDistribution(1.0, 20.0, log=True)
    return [
        FineTuning(
            "continue-training",
            original_loss,
            {},
            "Control: a few more steps of the original's own training.",
            Schedule(("sgd",)),
        ),
        FineTuning(
            "retrain",
            original_loss,
            {"weight_decay": FloatDistribution(1e-4, 0.1, log=True)},
            "Control: further training without preference, with AdamW and a one-cycle schedule.",
            Schedule(("adamw",)),
        ),
        FineTuning(
            "weighted-finetune", class_weighted, {"lambda": weight}, "Fine-tunes with weight lambda on target samples."
        ),
        FineTuning(
            "logit-adjustment",
            logit_adjusted,
            {"tau": FloatDistribution(0.0, 2.0)},
            "Fine-tunes as if the target were ten times rarer (Menon et al. 2021).",
        ),
        FineTuning(
            "dwb-loss",
            dynamically_weighted_balanced,
            {"target_weight": weight},
            "Fine-tunes with a weight on target samples that fades as they are got right (Fernando & Tsokos 2022).",
        ),
        FineTuning(
            "vs-loss",
            vector_scaled,
            {"delta": FloatDistribution(0.7, 1.0, log=True), "iota": FloatDistribution(-2.3, 0.0)},
            "Fine-tunes with a factor and an offset of the target's logit in the loss (Kini et al. 2021).",
        ),
        FineTuning(
            "group-dro",
            group_robust,
            {"eta": FloatDistribution(1e-3, 0.1, log=True)},
            "Fine-tunes with most weight on the classes whose loss is largest (Sagawa et al. 2020).",
        ),
        Camri(),
        JustTrainTwice(),
        Soup(),
        LastLayer(),
    ]
