"""What a search keeps: candidates scored on the selection split, the best of each variant and OA budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tunebench.errors import InvalidOutput
from tunebench.networks.activations import forward
from tunebench.networks.cost import added_params, count_params
from tunebench.networks.edits import anatomy_of, edited_logits
from tunebench.selection import tradeoff
from tunebench.selection.budgets import BUDGETS
from tunebench.selection.tradeoff import Score
from tunebench.tuner import LogitEdit, TuningTask

Variant = Literal["plain", "shifted"]
VARIANTS: tuple[Variant, ...] = ("plain", "shifted")


@dataclass(frozen=True)
class SearchOptions:
    """What a search may spend and keep; ``budget`` is in percentage points of OA on the selection split."""

    trials: int = 30
    budget: float = 0.2
    margin: str = "none"
    protocol: str = "holdout"

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budgets of the trade-off curve and the chosen one, ascending."""
        return tuple(sorted({*BUDGETS, self.budget}))


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
    """Scores candidates on the selection split and keeps the best of each variant and budget.

    Counts along a ray come from sorted breakpoints; whatever is adopted has been scored on float32 logits too.
    """

    def __init__(self, task: TuningTask, options: SearchOptions) -> None:
        self.task, self.options = task, options
        self.samples = len(task.y_valid)
        self.base = tradeoff.margins(task.logits_valid, task.y_valid, task.targets)
        self.sizes: WeakKeyDictionary[nn.Module | LogitEdit, int] = WeakKeyDictionary()
        self.model_params = count_params(task.model)
        self.anatomy = anatomy_of(task)
        self.columns = task.hidden_valid.t().contiguous()  # (H, M): a few units at a time are read
        unchanged = Candidate(0, {}, LogitEdit.of_target(task), self.score(task.logits_valid))
        self.chosen: dict[Variant, dict[float, Candidate]] = {
            variant: dict.fromkeys(options.budgets, unchanged) for variant in VARIANTS
        }
        self.add_shifted(unchanged, self.base)

    def score(self, logits: Tensor) -> Score:
        """Counts for logits (M, C)."""
        return tradeoff.score(logits, self.base, self.task.y_valid)

    def logits(self, candidate: Candidate) -> Tensor:
        """The candidate's logits (M, C): a `LogitEdit` on cached activations, a module by a forward."""
        task = self.task
        if isinstance(candidate.output, LogitEdit):
            logits = edited_logits(candidate.output, task.hidden_valid, task.logits_valid)
        else:
            logits = forward(candidate.output, task.x_valid)
        return shifted(logits, task.targets, candidate.shift)

    def add(self, trial: int, params: dict[str, Any], output: nn.Module | LogitEdit, scale: float | None) -> Score:
        """Consider a tuner's output as it is, and shifted; returns its score."""
        draft = Candidate(trial, params, output, Score(0, 0, 0, 0), scale)
        logits = self.logits(draft)
        check_logits(logits, self.task)
        candidate = replace(draft, score=self.score(logits))
        self.offer("plain", candidate)
        here = tradeoff.margins(logits, self.task.y_valid, self.task.targets, self.base.was_right)
        self.add_shifted(candidate, here)
        return candidate.score

    def add_ray(self, trial: int, params: dict[str, Any], edit: LogitEdit) -> Score:
        """Consider the best scale of a scalable edit for each budget; returns the score at the chosen budget."""
        direction = ray_direction(edit, self.task, self.columns)
        steps = tradeoff.ray_steps(self.base, direction)
        found = self.chosen["plain"][self.options.budget].score
        for interval, budgets in self.best_intervals(steps).items():
            scale = steps.scale(interval)
            candidate = Candidate(trial, params, edit.scaled(scale), steps.score(interval), scale)
            self.consider("plain", candidate)
            self.add_shifted(candidate, self.base.moved(scale * direction))
            if self.options.budget in budgets:
                found = candidate.score
        return found

    def add_shifted(self, candidate: Candidate, here: tradeoff.Margins) -> None:
        """Consider ``candidate``, whose margins are ``here``, with the exact best target bias for each budget."""
        self.offer("shifted", candidate)
        steps, offset = tradeoff.shift_steps(here, tradeoff.allowance(self.options.budgets[-1], self.samples))
        for interval in self.best_intervals(steps):
            shift = steps.scale(interval) - offset
            self.consider("shifted", replace(candidate, score=steps.score(interval), shift=shift))

    def best_intervals(self, steps: tradeoff.Steps) -> dict[int, list[float]]:
        """The best interval of every budget that has one, with the budgets that it serves."""
        found: dict[int, list[float]] = {}
        options = self.options
        for budget, interval in tradeoff.best_intervals(steps, self.samples, options.budgets, options.margin):
            found.setdefault(interval, []).append(budget)
        return found

    def consider(self, variant: Variant, candidate: Candidate) -> None:
        """Offer a candidate whose counts are exact arithmetic, scored again on float32 logits if it would win."""
        if any(self.better(candidate, budget, best) for budget, best in self.chosen[variant].items()):
            self.offer(variant, replace(candidate, score=self.score(self.logits(candidate))))

    def offer(self, variant: Variant, candidate: Candidate) -> None:
        """Adopt ``candidate`` for every budget at which it is better."""
        for budget, best in self.chosen[variant].items():
            if self.better(candidate, budget, best):
                self.chosen[variant][budget] = candidate

    def better(self, candidate: Candidate, budget: float, best: Candidate) -> bool:
        """Whether ``candidate`` keeps the budget and beats ``best``: TA, then OA, then fewest parameters."""
        rank, best_rank = candidate.score[:2], best.score[:2]
        if rank < best_rank or not tradeoff.feasible(candidate.score, self.samples, budget, self.options.margin):
            return False
        return rank > best_rank or self.params(candidate) < self.params(best)

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


def shifted(logits: Tensor, targets: tuple[int, ...], shift: float) -> Tensor:
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
