"""Synaptic join and its k-th-smallest family, and the random control (docs/methods.md, sections 2 and 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tunebench import LogitEdit, Tuner, TuningTask
from tunebench_synapse.evaluation import Evaluation, evaluate_signed
from tunebench_synapse.tables import affordable, tables_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Rays = list[tuple[dict[str, int], LogitEdit]]
"""Parameters and the edit they give."""
MAX_SYNAPSES = 24
"""Upper end of the search over n."""
HONOURED = frozenset({"max_steps", "synapse_layers", "max_new_params", "max_weight", "protect"})
"""All limits: layers and numbers by what is proposed, the others by the scale, which the host solves under them."""


@dataclass(frozen=True, eq=False)
class Synapses:
    """The active neurons of one task, best first (Xu & Wang 2026, algorithm 2); A may be 0."""

    neurons: Tensor
    """Hidden units, (A,) int64, all different."""
    weight: Tensor
    """The thresholds, with the sign of the weight, (A,) float64."""
    count: Tensor
    """Samples of ``D_w`` that each corrects alone, (A,) int64."""
    reason: str | None = None
    """Why there is none, when A is 0: the tuned network is then the original."""


def rank_synapses(task: TuningTask, k: int) -> Synapses:
    """Evaluate all neurons on the training tables and keep those with at least half of the highest count.

    Order: count descending, threshold descending, index ascending. Source: Xu & Wang 2026, algorithm 2. Neurons of
    layers that may not get a synapse are no candidates, and what there is no room for is left out.
    """
    best, negative = better_sign(evaluate_signed(*tables_of(task), k))
    threshold, count = best.threshold.tolist(), (best.count * task.may_join).tolist()
    most = max(count, default=0)
    active = [i for i, c in enumerate(count) if c > 0 and 2 * c >= most]
    active = affordable(task, sorted(active, key=lambda i: (-count[i], -threshold[i], i)))
    order = torch.tensor(active, dtype=torch.int64, device=task.hidden_train.device)
    weight = torch.where(negative, -best.threshold, best.threshold)
    return Synapses(order, weight[order], best.count[order], None if active else why_none(task, k))


def better_sign(found: Evaluation) -> tuple[Evaluation, Tensor]:
    """The better of each neuron's two candidates (2, H), for it is one synapse, and whether that is the negative one.

    "Better" as in the order of `rank_synapses`; of equals the positive one.
    """
    (threshold, less), (count, fewer) = found
    negative = (fewer > count) | ((fewer == count) & (less > threshold))
    return Evaluation(torch.where(negative, less, threshold), torch.where(negative, fewer, count)), negative


def why_none(task: TuningTask, k: int) -> str:
    """One line on why no synapse helps the targets."""
    name = "+".join(map(str, task.targets))
    right = task.logits_train.argmax(1) == task.y_train
    mine = torch.isin(task.y_train, task.y_train.new_tensor(task.targets))
    if bool(right[mine].all()):
        return f"no training sample of class {name} is misclassified"
    if not bool(right[~mine].any()):
        return "no training sample of another class is classified right"
    if task.synapse_layers is not None or task.max_new_params is not None:
        return f"no single synapse that may be added (k = {k}) corrects a sample of class {name}"
    return f"no single synapse within its threshold (k = {k}) corrects a sample of class {name}"


def refuse(task: TuningTask) -> str | None:
    """Why synapses do not apply to ``task``: nothing to join, or nothing to take from; else None."""
    if len(task.targets) == task.classes:
        return "every class is a target"
    if not task.hidden_train.shape[1]:
        return "the network has no hidden units"
    return None if bool(task.may_join.any()) else "no hidden layer may get a synapse"


class SynapticJoin(Tuner):
    """Adds the n best synapses to the target's logit, each with its threshold / n as weight.

    ``k`` is the rank of the ratio that sets the threshold: 1 is SJ, 2 SMVT-SJ. The host solves the scale. Several
    targets get the same synapses.
    """

    scalable = True
    honours = HONOURED

    def __init__(self, name: str, k: int) -> None:
        self.name = name
        self.k = k
        spared = f"{k - 1 or 'no'} right {'samples' if k > 2 else 'sample'}"
        self.summary = f"Synaptic join: n weights into the target's logit, each sized to turn {spared} wrong."

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """n, the number of synapses."""
        return synapse_counts()

    def skip(self, task: TuningTask) -> str | None:
        """No hidden unit, none that may get a synapse, or no class to take from."""
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

    def __init__(self, name: str, k: int) -> None:
        super().__init__(name, k)
        self.summary = self.summary.replace("n weights", "n solved exactly, weights")

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
    """Control: n random neurons that fire on the training data, weights of equal size.

    A weight is positive, of a neuron that is never positive negative, and of one that is both either. The edit has the
    L2 norm of SMVT-SJ's for the same n, or 1 where SMVT-SJ finds none.
    """

    name = "random-synapses"
    scalable = True
    honours = HONOURED

    def search_space(self) -> Mapping[str, BaseDistribution]:
        """n, the number of synapses."""
        return synapse_counts()

    def skip(self, task: TuningTask) -> str | None:
        """As `SynapticJoin`, whose norm it borrows."""
        return refuse(task)

    def prepare(self, task: TuningTask) -> Synapses:
        """SMVT-SJ's synapses, for their norm alone; a reason why it has none is not this tuner's."""
        found = rank_synapses(task, 2)
        return Synapses(found.neurons, found.weight, found.count)

    def tune(self, task: TuningTask, params: Mapping[str, Any], prepared: Synapses) -> LogitEdit:
        """n neurons drawn from ``task.seed`` and n; fewer where fewer fire."""
        rises, falls = task.hidden_train.amax(0).cpu() > 0, task.hidden_train.amin(0).cpu() < 0
        firing = ((rises | falls) & task.may_join.cpu()).nonzero().squeeze(1)
        generator = torch.Generator().manual_seed((task.seed * 1009 + params["n"]) % (1 << 63))
        drawn = firing[torch.randperm(len(firing), generator=generator)].tolist()
        chosen = torch.tensor(affordable(task, drawn)[: params["n"]], dtype=torch.int64)
        n = len(chosen)
        norm = float(mean_of_safe(task, prepared, params["n"]).double().norm()) or 1.0
        weight = task.hidden_train.new_zeros(task.hidden_train.shape[1])
        heads = torch.rand(n, generator=generator) < 0.5
        negative = falls[chosen] & (heads | ~rises[chosen])
        size = norm / max(1, n) ** 0.5
        weight[chosen.to(weight.device)] = torch.where(negative, -size, size).to(weight)
        return LogitEdit.of_target(task, weight)

    def rays(self, task: TuningTask, prepared: Synapses) -> Rays:
        """The edits of all n in the search space."""
        return [({"n": n}, self.tune(task, {"n": n}, prepared)) for n in range(1, MAX_SYNAPSES + 1)]


def mean_of_safe(task: TuningTask, synapses: Synapses, n: int) -> Tensor:
    """Weights (H,) of the first ``min(n, A)`` synapses, each its threshold divided by their number."""
    weight = task.hidden_train.new_zeros(task.hidden_train.shape[1])
    chosen = synapses.neurons[:n]
    weight[chosen] = (synapses.weight[:n] / max(1, len(chosen))).to(weight.dtype)
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
