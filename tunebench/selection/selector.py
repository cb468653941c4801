"""What a search keeps: candidates scored on the selection split, the best of each variant and OA budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import nlargest
from operator import itemgetter
from typing import Any

from torch import Tensor, nn

from tunebench.selection import tradeoff
from tunebench.selection.budgets import BUDGETS, Demand, Floor, allowance, demand_of
from tunebench.selection.constraints import ALL_LAYERS, ROUNDING, reach
from tunebench.selection.outputs import Outputs, View
from tunebench.selection.rays import steps_along
from tunebench.selection.tradeoff import Score
from tunebench.selection.variants import CHOOSING, MAKERS, Variant, plain
from tunebench.tuner import MAX_STEPS, LogitEdit, TuningTask

FEW = 2
"""Trials whose outputs are kept for the interpolated variant."""


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
    """A tuned network and how it scored: ``output`` with ``shift`` added to the target logits.

    An edit is scaled already, and what is between networks is one: ``scale`` and ``share`` say how it was made.
    """

    trial: int
    params: dict[str, Any]
    output: nn.Module | LogitEdit
    score: Score
    scale: float | None = None
    shift: float = 0.0
    share: float = 1.0
    """How far from the original to what the tuner returned, see `tunebench.networks.between`."""


class Selector:
    """Scores candidates on the selection split and keeps the best of each variant and demand.

    Counts along a ray come from sorted breakpoints; whatever is adopted has been scored on float32 logits too. With a
    ``ladder`` it chooses for those demands instead of the options', and all variants share one choice. With a
    ``view`` it sees some samples of the split alone.
    """

    def __init__(
        self, task: TuningTask, options: SearchOptions, ladder: tuple[Demand, ...] = (), view: View | None = None
    ) -> None:
        self.task, self.options = task, options
        self.view = view or View(Outputs(task))
        self.demands = ladder or options.demands
        self.samples = len(self.view.labels)
        self.base = tradeoff.margins(self.view.original, self.view.labels, task.targets, protect=task.protect)
        self.unchanged = Candidate(0, {}, LogitEdit.of_target(task), self.score(self.view.original))
        start: dict[Demand, Candidate] = dict.fromkeys(self.demands, self.unchanged)
        self.chosen: dict[Variant, dict[Demand, Candidate]] = {v: start if ladder else dict(start) for v in CHOOSING}
        self.leading: list[tuple[int, Candidate]] = []
        """The `FEW` trials that did best over all demands, and how well; see `remember`."""
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
        return allowance(self.budgets[-1], self.samples)

    def score(self, logits: Tensor) -> Score:
        """Counts for logits (R, C) of the view."""
        return tradeoff.score(logits, self.base, self.view.labels)

    def add(self, trial: int, params: dict[str, Any], output: nn.Module | LogitEdit, scale: float | None) -> Score:
        """Consider a tuner's output as it is, and shifted; returns its score."""
        candidate = Candidate(trial, params, output, self.score(self.view.logits(output)), scale)
        self.make(candidate, self.margins(output))
        return candidate.score

    def margins(self, output: nn.Module | LogitEdit) -> tradeoff.Margins:
        """How the samples stand under an output."""
        logits, task = self.view.logits(output), self.task
        return tradeoff.margins(logits, self.view.labels, task.targets, self.base.was_right, task.protect)

    def add_ray(self, trial: int, params: dict[str, Any], edit: LogitEdit) -> Score:
        """Consider the best scale of a scalable edit for each demand; returns the score at the chosen one.

        Where no multiple keeps the demand that is scale 0, the original.
        """
        direction = self.view.direction(edit)
        steps = self.steps(edit)
        found = self.unchanged.score
        for interval, demands in self.best_intervals(steps).items():
            scale = steps.scale(interval)
            candidate = Candidate(trial, params, edit.scaled(scale), steps.score(interval), scale)
            self.consider("plain", candidate, demands)
            alike = direction.ndim == 1
            here = self.base.moved(scale * direction) if alike else self.margins(candidate.output)
            self.make(candidate, here, solved=True)
            if self.options.demand in demands:
                found = candidate.score
        return found

    def steps(self, edit: LogitEdit) -> tradeoff.Steps:
        """The counts of every multiple of ``edit``, usable where the user's limits are kept."""
        steps = steps_along(self.base, self.view.direction(edit), self.view.original, self.view.labels)
        return steps.below(reach(edit, self.task, self.view.outputs.added(edit)))

    def make(self, candidate: Candidate, here: tradeoff.Margins, solved: bool = False) -> None:
        """Consider what every variant makes of ``candidate``, whose margins are ``here``; plain too unless solved."""
        for maker in MAKERS.values():
            if not (solved and maker is plain):
                maker(self, candidate, here)

    def remember(self, candidate: Candidate, found: Mapping[Demand, Score]) -> None:
        """Keep a trial's output if it leads: by the sum of what its best shifts score, ``found``, at each demand."""
        merit = sum(ranked(score, demand)[0] for demand, score in found.items())
        self.leading = nlargest(FEW, [*self.leading, (merit, candidate)], key=itemgetter(0))

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

    def consider(self, variant: Variant, candidate: Candidate, demands: Iterable[Demand]) -> None:
        """Offer a candidate whose counts are exact arithmetic, scored again on float32 logits if it would win.

        ``demands`` are those that it is the best of its kind for: nowhere else can it win.
        """
        if any(self.better(candidate, demand, self.chosen[variant][demand]) for demand in demands):
            logits = self.view.logits(candidate.output, candidate.shift)
            self.offer(variant, replace(candidate, score=self.score(logits)))

    def offer(self, variant: Variant, candidate: Candidate) -> None:
        """Adopt ``candidate`` for every demand at which it is better, if it keeps the user's limits."""
        won = [demand for demand, best in self.chosen[variant].items() if self.better(candidate, demand, best)]
        if won and self.allowed(candidate):
            self.chosen[variant].update(dict.fromkeys(won, candidate))

    def allowed(self, candidate: Candidate) -> bool:
        """Whether a candidate keeps the limits of the task, protected classes included."""
        task, output = self.task, candidate.output
        added = self.view.outputs.added(output)
        if isinstance(output, LogitEdit) and reach(output, task, added) < 1 - ROUNDING:
            return False
        if task.max_new_params is not None and added > task.max_new_params:
            return False
        if not task.protect:
            return True
        logits = self.view.logits(output, candidate.shift)
        return tradeoff.protects(logits, self.view.labels, task.protect, self.base.least)

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
        return self.view.outputs.params(candidate.output)


def ranked(score: Score, demand: Demand) -> tuple[int, int]:
    """What a choice maximises: TA before OA under a budget, OA before TA above a floor."""
    return (score.correct, score.hits) if isinstance(demand, Floor) else (score.hits, score.correct)
