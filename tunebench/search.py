"""The search: ask Optuna, let the tuner tune, score on the selection split, keep the best for every OA budget.

The same number of trials for every tuner that has a search space. Trial 0 is the unchanged original, so a feasible
choice always exists. One search serves all budgets: every trial is a candidate for each, and what a tuner leaves to
the host (the scale of a `Tuner.scalable` edit, the bias of the shifted variant) is solved exactly per budget.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn

from tunebench import tradeoff
from tunebench.activations import forward
from tunebench.cost import count_params, params_of_edit
from tunebench.edits import check_edit, edited_logits
from tunebench.errors import InvalidOutput
from tunebench.suite import BUDGETS
from tunebench.tradeoff import Score
from tunebench.tuner import LogitEdit, Tuner, TuningTask

Variant = Literal["plain", "shifted"]
VARIANTS: tuple[Variant, ...] = ("plain", "shifted")
PAPER_SCALE = FloatDistribution(0.25, 16.0, log=True)
"""Search range of the scale under ``--protocol paper``; the paper's choices lie in 2 to 12."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


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


@dataclass
class Selection:
    """The best candidate for every variant and budget, and what finding them took."""

    chosen: dict[Variant, dict[float, Candidate]]
    trials: int = 0
    tune_seconds: float = 0.0
    reason: str | None = None
    regret: int | None = None
    """Target samples by which the exact optimum over all rays beats the plain choice at the budget."""
    history: list[dict[str, Any]] = field(default_factory=list)


class Selector:
    """Scores candidates on the selection split and keeps the best of each variant and budget."""

    def __init__(self, task: TuningTask, options: SearchOptions) -> None:
        self.task, self.options = task, options
        self.samples = len(task.y_valid)
        self.base = tradeoff.margins(task.logits_valid, task.y_valid, task.targets)
        unchanged = Candidate(0, {}, LogitEdit.of_target(task), self.score(task.logits_valid))
        self.chosen: dict[Variant, dict[float, Candidate]] = {
            variant: dict.fromkeys(options.budgets, unchanged) for variant in VARIANTS
        }
        self.add_shifted(unchanged, task.logits_valid)

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
        candidate = Candidate(trial, params, output, self.score(logits), scale)
        self.offer("plain", candidate)
        self.add_shifted(candidate, logits)
        return candidate.score

    def add_ray(self, trial: int, params: dict[str, Any], edit: LogitEdit) -> Score:
        """Consider the best scale of a scalable edit for each budget; returns the score at the chosen budget."""
        steps = tradeoff.ray_steps(self.base, ray_direction(edit, self.task))
        found = self.chosen["plain"][self.options.budget].score
        scales = [(b, tradeoff.best_scale(steps, self.samples, b, self.options.margin)) for b in self.options.budgets]
        for scale in sorted({s for _, s in scales if s is not None}):
            found_here = self.add(trial, params, edit.scaled(scale), scale)
            if scale == dict(scales)[self.options.budget]:
                found = found_here
        return found

    def add_shifted(self, candidate: Candidate, logits: Tensor) -> None:
        """Consider ``candidate`` with the exact best bias on the target logits, for each budget."""
        task, options = self.task, self.options
        self.offer("shifted", candidate)
        here = tradeoff.margins(logits, task.y_valid, task.targets, self.base.was_right)
        for sign in (1.0, -1.0):
            steps = tradeoff.ray_steps(here, torch.full_like(here.gap, sign))
            sizes = {tradeoff.best_scale(steps, self.samples, b, options.margin) for b in options.budgets}
            for size in sorted(s for s in sizes if s is not None):
                score = self.score(shifted(logits, task.targets, sign * size))
                self.offer(
                    "shifted",
                    Candidate(
                        candidate.trial,
                        candidate.params,
                        candidate.output,
                        score,
                        candidate.scale,
                        sign * size,
                    ),
                )

    def offer(self, variant: Variant, candidate: Candidate) -> None:
        """Adopt ``candidate`` wherever it keeps the budget and is better: TA, then OA, then fewest parameters."""
        for budget, best in self.chosen[variant].items():
            if not tradeoff.feasible(candidate.score, self.samples, budget, self.options.margin):
                continue
            rank = (candidate.score.hits, candidate.score.correct)
            best_rank = (best.score.hits, best.score.correct)
            if rank > best_rank or (rank == best_rank and self.params(candidate) < self.params(best)):
                self.chosen[variant][budget] = candidate

    def params(self, candidate: Candidate) -> int:
        """Non-zero parameters of the candidate's logical network."""
        if isinstance(candidate.output, LogitEdit):
            return params_of_edit(self.task.model, candidate.output, self.task.x_valid[:1])
        return count_params(candidate.output)


def search(tuner: Tuner, task: TuningTask, options: SearchOptions) -> Selection:
    """Run every trial of ``tuner`` on ``task``; sees nothing but the task's train and validation parts."""
    selector = Selector(task, options)
    selection = Selection(selector.chosen)
    clock = Clock()
    with clock:
        prepared = tuner.prepare(task)
    selection.reason = getattr(prepared, "reason", None)
    space = dict(tuner.search_space())
    scale_searched = tuner.scalable and bool(space) and options.protocol == "paper"
    rays = getattr(tuner, "rays", None)
    if not space and rays is not None:
        with clock:
            proposals = list(rays(task, prepared))
        for params, edit in proposals:
            check_edit(edit, task.classes, task.hidden_train.shape[1])
            selector.add_ray(1, dict(params), edit)
        selection.trials = 1
    else:
        if scale_searched:
            space["scale"] = PAPER_SCALE
        for trial, params, report in trials_of(space, options.trials, task.seed):
            scale = params.get("scale") if scale_searched else None
            own = {name: value for name, value in params.items() if not (scale_searched and name == "scale")}
            with clock:
                output = checked(tuner.tune(task, own, prepared), task)
            if tuner.scalable and isinstance(output, LogitEdit):
                if scale is None:
                    score = selector.add_ray(trial, own, output)
                else:
                    score = selector.add(trial, own, output.scaled(scale), scale)
            else:
                score = selector.add(trial, own, output, None)
            report(score)
            selection.history.append({"trial": trial, "params": params, "score": list(score)})
            selection.trials = trial
    selection.tune_seconds = clock.seconds
    if tuner.scalable and rays is not None:
        selection.regret = regret(selector, rays(task, prepared))
    return selection


def trials_of(
    space: Mapping[str, BaseDistribution], trials: int, seed: int
) -> Iterator[tuple[int, dict[str, Any], Any]]:
    """Yield (number from 1, params, report) for each trial after the unchanged original.

    An empty space gives one trial. A finite space is walked in random order without repeats; any other is searched
    by TPE with TA and OA as two objectives, so that no budget is favoured. Call ``report(score)`` after each.
    """
    if not space:
        yield 1, {}, lambda score: None
        return
    study = optuna.create_study(directions=["maximize", "maximize"], sampler=optuna.samplers.TPESampler(seed=seed))
    grid = finite(space)
    planned = trials - 1
    if grid is not None:
        random.Random(seed).shuffle(grid)
        planned = min(planned, len(grid))
        for params in grid[:planned]:
            study.enqueue_trial(params)
    for number in range(1, planned + 1):
        trial = study.ask(fixed_distributions=dict(space))

        def report(score: Score, trial: optuna.Trial = trial) -> None:
            study.tell(trial, [score.hits, score.correct])

        yield number, dict(trial.params), report


def finite(space: Mapping[str, BaseDistribution], limit: int = 1000) -> list[dict[str, Any]] | None:
    """Every point of a space of integers and categories, or None if there is another kind or too many points."""
    axes: list[list[Any]] = []
    for distribution in space.values():
        if isinstance(distribution, CategoricalDistribution):
            axes.append(list(distribution.choices))
        elif isinstance(distribution, IntDistribution):
            axes.append(list(range(distribution.low, distribution.high + 1, distribution.step)))
        else:
            return None
    size = 1
    for axis in axes:
        size *= len(axis)
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*axes)] if size <= limit else None


def regret(selector: Selector, rays: Any) -> int:
    """How many target samples the exact optimum over all ``rays`` has more than the plain choice, at the budget."""
    options = selector.options
    found = selector.chosen["plain"][options.budget].score.hits
    best = found
    for _, edit in rays:
        steps = tradeoff.ray_steps(selector.base, ray_direction(edit, selector.task))
        good = tradeoff.kept(steps.lost, steps.gained, selector.samples, options.budget, options.margin)
        good &= steps.high - steps.low > tradeoff.NARROW * steps.low
        best = max(best, int(torch.where(good, steps.hits, 0).max()))
    return best - found


def shifted(logits: Tensor, targets: tuple[int, ...], shift: float) -> Tensor:
    """``logits`` (N, C) with ``shift`` added to the target columns."""
    if shift == 0.0:
        return logits
    out = logits.clone()
    out[:, list(targets)] += shift
    return out


def ray_direction(edit: LogitEdit, task: TuningTask) -> Tensor:
    """What a scalable ``edit`` adds to the target's logit per unit of scale, (M,) float32."""
    touched = (edit.weight.ne(0).any(1) | edit.bias.ne(0)).nonzero()[:, 0].tolist()
    if set(touched) - {task.target}:
        raise InvalidOutput(f"a scalable tuner may edit the logit of class {task.target} only, not {touched}")
    row = edit.weight[task.target].to(task.hidden_valid.dtype)
    columns = row.nonzero()[:, 0]
    return task.hidden_valid[:, columns] @ row[columns] + edit.bias[task.target].to(row.dtype)


def checked(output: Any, task: TuningTask) -> nn.Module | LogitEdit:
    """``output`` if a tuner may return it; InvalidOutput otherwise."""
    if isinstance(output, LogitEdit):
        check_edit(output, task.classes, task.hidden_train.shape[1])
        return output
    if not isinstance(output, nn.Module):
        raise InvalidOutput(f"tune() returned {type(output).__name__}, neither a torch.nn.Module nor a LogitEdit")
    if output is task.model:
        raise InvalidOutput("tune() returned task.model itself; return a tuned copy")
    return output


def check_logits(logits: Any, task: TuningTask) -> None:
    """InvalidOutput unless ``logits`` is a finite (M, C) tensor."""
    expected = tuple(task.logits_valid.shape)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InvalidOutput(f"the tuned network's logits have shape {got}, expected {expected}")
    if not bool(torch.isfinite(logits).all()):
        raise InvalidOutput("the tuned network's logits are NaN or infinite")


class Clock:
    """Adds up the seconds spent inside its ``with`` blocks: the clock surrounds only the method."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start
