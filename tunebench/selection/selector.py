"""What a search keeps: candidates scored on the selection split, the best of each variant and OA budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tunebench.errors import InvalidOutput
from tunebench.networks.activations import forward
from tunebench.networks.cost import added_params, count_params
from tunebench.networks.edits import anatomy_of, edited_logits
from tunebench.selection import tradeoff
from tunebench.selection.budgets import BUDGETS, Demand, Floor, demand_of
from tunebench.selection.constraints import ALL_LAYERS
from tunebench.selection.tradeoff import Score
from tunebench.selection.variants import MAKERS, Variant, plain
from tunebench.tuner import MAX_STEPS, LogitEdit, TuningTask


@dataclass(frozen=True)
class SearchOptions:
    """What a search may spend and keep; ``budget`` is in percentage points of OA on the selection split."""

    trials: int = 30
    budget: float = 0.2
    margin: str = "none"
    protocol: str = "holdout"
    confidence: float = 0.9
    """Of the certified variant."""
    recall: float | None = None
    """The least TA, a fraction, that the tables ask for instead of a budget."""
    max_steps: int = MAX_STEPS
    """Training steps that a trial may take."""
    protect: str = ""
    """Classes and the points of recall that each may lose, such as ``3:0.5,7:0``."""
    synapse_layers: str = ALL_LAYERS
    """Hidden layers that may receive synapses, such as ``0,1``, ``-1`` or ``not 0``."""
    max_new_params: int | None = None
    max_weight: float | None = None
    """Largest size of a new weight."""

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budgets of the trade-off curve and the chosen one, ascending."""
        return tuple(sorted({*BUDGETS, self.budget}))

    @property
    def demand(self) -> Demand:
        """What the tables are about."""
        return demand_of(self.budget, self.recall)

    @property
    def demands(self) -> tuple[Demand, ...]:
        """All that a choice is made for."""
        return (*self.budgets, *([] if self.recall is None else [Floor(self.recall)]))


@dataclass(frozen=True, eq=False)
class Candidate:
    """A tuned network and how it scored: ``output`` with ``shift`` added to the target logits."""

    trial: int
    params: dict[str, Any]
    output: nn.Module | LogitEdit
    score: Score
    scale: float | None = None
    shift: float = 0.0


class Selector:
    """Scores candidates on the selection split and keeps the best of each variant and demand.

    Counts along a ray come from sorted breakpoints; whatever is adopted has been scored on float32 logits too. With a
    ``ladder`` it chooses for those demands instead of the options', and all variants share one choice.
    """

    def __init__(self, task: TuningTask, options: SearchOptions, ladder: tuple[Demand, ...] = ()) -> None:
        self.task, self.options = task, options
        self.demands = ladder or options.demands
        self.samples = len(task.y_valid)
        self.base = tradeoff.margins(task.logits_valid, task.y_valid, task.targets)
        self.sizes: WeakKeyDictionary[nn.Module | LogitEdit, int] = WeakKeyDictionary()
        self.model_params = count_params(task.model)
        self.anatomy = anatomy_of(task)
        self.columns = task.hidden_valid.t().contiguous()  # (H, M): a few units at a time are read
        self.unchanged = Candidate(0, {}, LogitEdit.of_target(task), self.score(task.logits_valid))
        start: dict[Demand, Candidate] = dict.fromkeys(self.demands, self.unchanged)
        self.chosen: dict[Variant, dict[Demand, Candidate]] = {v: start if ladder else dict(start) for v in MAKERS}
        self.make(self.unchanged, self.base)

    @cached_property
    def budgets(self) -> tuple[float, ...]:
        """Those demands that are OA budgets, ascending."""
        return tuple(d for d in self.demands if not isinstance(d, Floor))

    @cached_property
    def widest(self) -> int | None:
        """How many samples a choice may lose on balance; None: any number, for a floor."""
        if len(self.budgets) < len(self.demands):
            return None
        return tradeoff.allowance(self.budgets[-1], self.samples)

    def score(self, logits: Tensor) -> Score:
        """Counts for logits (M, C)."""
        return tradeoff.score(logits, self.base, self.task.y_valid)

    def add(self, trial: int, params: dict[str, Any], output: nn.Module | LogitEdit, scale: float | None) -> Score:
        """Consider a tuner's output as it is, and shifted; returns its score."""
        draft = Candidate(trial, params, output, Score(0, 0, 0, 0), scale)
        logits = logits_of(draft, self.task)
        check_logits(logits, self.task)
        candidate = replace(draft, score=self.score(logits))
        self.make(candidate, tradeoff.margins(logits, self.task.y_valid, self.task.targets, self.base.was_right))
        return candidate.score

    def add_ray(self, trial: int, params: dict[str, Any], edit: LogitEdit) -> Score:
        """Consider the best scale of a scalable edit for each demand; returns the score at the chosen one."""
        direction = ray_direction(edit, self.task, self.columns)
        steps = tradeoff.ray_steps(self.base, direction)
        found = self.chosen["plain"].get(self.options.demand, self.unchanged).score
        for interval, demands in self.best_intervals(steps).items():
            scale = steps.scale(interval)
            candidate = Candidate(trial, params, edit.scaled(scale), steps.score(interval), scale)
            self.consider("plain", candidate)
            self.make(candidate, self.base.moved(scale * direction), solved=True)
            if self.options.demand in demands:
                found = candidate.score
        return found

    def make(self, candidate: Candidate, here: tradeoff.Margins, solved: bool = False) -> None:
        """Consider what every variant makes of ``candidate``, whose margins are ``here``; plain too unless solved."""
        for maker in MAKERS.values():
            if not (solved and maker is plain):
                maker(self, candidate, here)

    def best_intervals(self, steps: tradeoff.Steps) -> dict[int, list[Demand]]:
        """The best interval of every demand that has one, with the demands that it serves."""
        found: dict[int, list[Demand]] = {}
        for budget, interval in tradeoff.best_intervals(steps, self.samples, self.budgets, self.options.margin):
            found.setdefault(interval, []).append(budget)
        for floor in self.demands:
            if isinstance(floor, Floor):
                highest = tradeoff.best_above(steps, floor.least(self.base.totals))
                if highest is not None:
                    found.setdefault(highest, []).append(floor)
        return found

    def consider(self, variant: Variant, candidate: Candidate) -> None:
        """Offer a candidate whose counts are exact arithmetic, scored again on float32 logits if it would win."""
        if any(self.better(candidate, demand, best) for demand, best in self.chosen[variant].items()):
            self.offer(variant, replace(candidate, score=self.score(logits_of(candidate, self.task))))

    def offer(self, variant: Variant, candidate: Candidate) -> None:
        """Adopt ``candidate`` for every demand at which it is better."""
        for demand, best in self.chosen[variant].items():
            if self.better(candidate, demand, best):
                self.chosen[variant][demand] = candidate

    def better(self, candidate: Candidate, demand: Demand, best: Candidate) -> bool:
        """Whether ``candidate`` keeps the demand and beats ``best``: TA, then OA, then fewest parameters.

        For a floor of TA it is OA first, then TA.
        """
        rank, best_rank = ranked(candidate.score, demand), ranked(best.score, demand)
        if rank < best_rank and self.keeps(best.score, demand):
            return False
        if not self.keeps(candidate.score, demand):
            return False
        if not self.keeps(best.score, demand):
            return True
        return rank > best_rank or self.params(candidate) < self.params(best)

    def keeps(self, score: Score, demand: Demand) -> bool:
        """Whether counts on the selection split keep a demand; the original may miss a floor, or a gain of OA."""
        if isinstance(demand, Floor):
            return score.hits >= demand.least(self.base.totals)
        return tradeoff.feasible(score, self.samples, demand, self.options.margin)

    def params(self, candidate: Candidate) -> int:
        """Non-zero parameters of the candidate's logical network; a shift is no new one."""
        output = candidate.output
        if output not in self.sizes:
            self.sizes[output] = (
                self.model_params + added_params(self.task.model, output, self.anatomy)
                if isinstance(output, LogitEdit)
                else count_params(output)
            )
        return self.sizes[output]


def logits_of(candidate: Candidate, task: TuningTask) -> Tensor:
    """A candidate's logits (M, C) on validation: a `LogitEdit` on cached activations, a module by a forward."""
    if isinstance(candidate.output, LogitEdit):
        logits = edited_logits(candidate.output, task.hidden_valid, task.logits_valid)
    else:
        logits = forward(candidate.output, task.x_valid)
    return biased(logits, task.targets, candidate.shift)


def ranked(score: Score, demand: Demand) -> tuple[int, int]:
    """What a choice maximises: TA before OA under a budget, OA before TA above a floor."""
    return (score.correct, score.hits) if isinstance(demand, Floor) else (score.hits, score.correct)


def biased(logits: Tensor, targets: tuple[int, ...], shift: float) -> Tensor:
    """``logits`` (N, C) with ``shift`` added to the target columns."""
    if shift == 0.0:
        return logits
    out = logits.clone()
    out[:, list(targets)] += shift
    return out


def ray_direction(edit: LogitEdit, task: TuningTask, columns: Tensor) -> tradeoff.Floats:
    """What a scalable ``edit`` adds to the target's logit per unit of scale, (M,); ``columns`` is hidden_valid.T."""
    touched = (edit.weight.ne(0).any(1) | edit.bias.ne(0)).nonzero()[:, 0].tolist()
    if set(touched) - {task.target}:
        raise InvalidOutput(f"a scalable tuner may edit the logit of class {task.target} only, not {touched}")
    row = edit.weight[task.target].double()
    units = row.nonzero()[:, 0]
    return (row[units] @ columns[units].double() + edit.bias[task.target].double()).cpu().numpy()


def check_logits(logits: Any, task: TuningTask) -> None:
    """InvalidOutput unless ``logits`` is a finite (M, C) tensor."""
    expected = tuple(task.logits_valid.shape)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InvalidOutput(f"the tuned network's logits have shape {got}, expected {expected}")
    if not bool(torch.isfinite(logits).all()):
        raise InvalidOutput("the tuned network's logits are NaN or infinite")
