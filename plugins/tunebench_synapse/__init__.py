"""Synaptic join for one target class: the evaluation of candidate synapses, and the tuners built on it."""

from collections.abc import Iterable

from tunebench import Tuner, hookimpl
from tunebench_synapse.evaluation import Evaluation, StreamingEvaluator, evaluate, evaluate_all, evaluate_signed

__all__ = ["Evaluation", "StreamingEvaluator", "evaluate", "evaluate_all", "evaluate_signed", "tunebench_tuners"]


@hookimpl
def tunebench_tuners() -> Iterable[Tuner]:
    """The SJ family by rank, its exact sweep, and the random control."""
    from tunebench_synapse.tuners import bundled

    return bundled()
