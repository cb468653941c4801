"""Synaptic join and its k-th-smallest family, and the random control (docs/methods.md, sections 2 and 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tunebench import LogitEdit, Tuner, TuningTask
from tunebench_synapse.evaluation import evaluate

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Rays = list[tuple[dict[str, int], LogitEdit]]
"""Parameters and the edit they give."""
MAX_SYNAPSES = 24
"""Upper end of the search over n."""


@dataclass(frozen=True, eq=False)
class Synapses:
    """The active neurons of one task, best first (Xu & Wang 2026, algorithm 2); A may be 0."""

    neurons: Tensor
    """Hidden units, (A,) int64."""
    threshold: Tensor
    """(A,) float64, in units of weight."""
    count: Tensor
    """Samples of ``D_w`` that each corrects alone, (A,) int64."""
    reason: str | None = None
    """Why there is none, when A is 0: the tuned network is then the original."""


def rank_synapses(task: TuningTask, k: int) -> Synapses:
    """Evaluate all neurons on the training tables and keep those with at least half of the highest count.

    Order: count descending, threshold descending, index ascending. Source: Xu & Wang 2026, algorithm 2.
    """
    result = evaluate(task.hidden_train, task.logits_train, task.y_train, task.target, k)
    threshold, count = result.threshold.tolist(), result.count.tolist()
    most = max(count, default=0)
    active = [i for i, c in enumerate(count) if c > 0 and 2 * c >= most]
    active.sort(key=lambda i: (-count[i], -threshold[i], i))
    order = torch.tensor(active, dtype=torch.int64, device=task.hidden_train.device)
    reason = None if active else why_none(task, k)
    return Synapses(order, result.threshold[order], result.count[order], reason)


def why_none(task: TuningTask, k: int) -> str:
    """One line on why no synapse helps class ``task.target``."""
    right = task.logits_train.argmax(1) == task.y_train
    if bool(right[task.y_train == task.target].all()):
        return f"no training sample of class {task.target} is misclassified"
    if not bool(right[task.y_train != task.target].any()):
        return "no training sample of another class is classified right"
    return f"no single synapse within its threshold (k = {k}) corrects a sample of class {task.target}"


def refuse(task: TuningTask) -> str | None:
    """Why synapses do not apply to ``task``: several targets, or activations of both signs; else None."""
    if len(task.targets) > 1:
        return "one target class at a time"
    if bool((task.hidden_train < 0).any()) or bool((task.hidden_valid < 0).any()):
        return "hidden activations can be negative"
    return None


class SynapticJoin(Tuner):
    """Adds the n best synapses to the target's logit, each with its threshold / n as weight.

    ``k`` is the rank of the ratio that sets the threshold: 1 is SJ, 2 SMVT-SJ. The host solves the scale.
    """

    scalable = True

    def __init__(self, name: str, k: int) -> None:
        self.name = name
        self.k = k

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """n, the number of synapses."""
        return synapse_counts()

    def skip(self, task: TuningTask) -> str | None:
        """Several targets, or activations that can be negative."""
        return refuse(task)

    def prepare(self, task: TuningTask) -> Synapses:
        """The active neurons; ``reason`` says why there is none."""
        return rank_synapses(task, self.k)

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Synapses) -> LogitEdit:
        """The first n synapses, or a zero edit when no neuron is active."""
        return LogitEdit.of_target(task, mean_of_safe(task, prepared, params["n"]))

    def rays(self, task: TuningTask, prepared: Synapses) -> Rays:
        """The edits of all n in the search space that differ; the host solves the scale of each exactly."""
        return self._rays(task, prepared, MAX_SYNAPSES)

    def _rays(self, task: TuningTask, prepared: Synapses, most: int) -> Rays:
        last = max(1, min(most, len(prepared.neurons)))
        return [({"n": n}, self.tune(task, {"n": n}, prepared)) for n in range(1, last + 1)]


class SynapticJoinExact(SynapticJoin):
    """`SynapticJoin` without a search: the host solves every n and scale through `rays`."""

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Nothing to search."""
        return {}

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Synapses) -> LogitEdit:
        """The edit of ``params["n"]``, as given by `rays`; n = 1 without."""
        return super().tune(task, {"n": params.get("n", 1)}, prepared)

    def rays(self, task: TuningTask, prepared: Synapses) -> Rays:
        """The edits of every n up to the number of active neurons."""
        return self._rays(task, prepared, len(prepared.neurons))


class RandomSynapses(Tuner):
    """Control: n random neurons that fire on the training data, equal positive weights.

    The edit has the L2 norm of SMVT-SJ's for the same n, or 1 where SMVT-SJ finds none.
    """

    name = "random-synapses"
    scalable = True

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """n, the number of synapses."""
        return synapse_counts()

    def skip(self, task: TuningTask) -> str | None:
        """As `SynapticJoin`, whose norm it borrows."""
        return refuse(task)

    def prepare(self, task: TuningTask) -> Synapses:
        """SMVT-SJ's synapses, for their norm alone; a reason why it has none is not this tuner's."""
        found = rank_synapses(task, 2)
        return Synapses(found.neurons, found.threshold, found.count)

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Synapses) -> LogitEdit:
        """n neurons drawn from ``task.seed`` and n; fewer where fewer fire."""
        firing = (task.hidden_train > 0).any(0).nonzero().squeeze(1).cpu()
        n = min(params["n"], len(firing))
        generator = torch.Generator().manual_seed((task.seed * 1009 + params["n"]) % (1 << 63))
        chosen = firing[torch.randperm(len(firing), generator=generator)[:n]]
        norm = float(mean_of_safe(task, prepared, params["n"]).double().norm()) or 1.0
        weight = task.hidden_train.new_zeros(task.hidden_train.shape[1])
        weight[chosen.to(weight.device)] = norm / max(1, n) ** 0.5
        return LogitEdit.of_target(task, weight)

    def rays(self, task: TuningTask, prepared: Synapses) -> Rays:
        """The edits of all n in the search space."""
        return [({"n": n}, self.tune(task, {"n": n}, prepared)) for n in range(1, MAX_SYNAPSES + 1)]


def mean_of_safe(task: TuningTask, synapses: Synapses, n: int) -> Tensor:
    """Weights (H,) of the first ``min(n, A)`` synapses, each its threshold divided by their number."""
    weight = task.hidden_train.new_zeros(task.hidden_train.shape[1])
    chosen = synapses.neurons[:n]
    weight[chosen] = (synapses.threshold[:n] / max(1, len(chosen))).to(weight.dtype)
    return weight


def synapse_counts() -> dict[str, BaseDistribution]:
    """The search range of n."""
    from optuna.distributions import IntDistribution

    return {"n": IntDistribution(1, MAX_SYNAPSES)}


def bundled() -> list[Tuner]:
    """The tuners of this package."""
    ranks = {"sj": 1, "smvt-sj": 2, "sj-k3": 3, "sj-k4": 4, "sj-k5": 5}
    family = [SynapticJoin(name, k) for name, k in ranks.items()]
    return [*family, SynapticJoinExact("smvt-sj-exact", 2), RandomSynapses()]
