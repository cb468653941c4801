"""The search: ask Optuna, let the tuner tune, score on the selection split, keep the best for every OA budget.

The same number of trials for every tuner that has a search space. Trial 0 is the unchanged original, so a feasible
choice always exists. One search serves all budgets: every trial is a candidate for each, and what a tuner leaves to
the host (the scale of a `Tuner.scalable` edit, the bias of the shifted variant) is solved exactly per budget.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from torch import nn

from tunebench.errors import InvalidOutput
from tunebench.networks.edits import check_edit
from tunebench.selection import tradeoff
from tunebench.selection.budgets import Demand
from tunebench.selection.constraints import constrained
from tunebench.selection.interpolation import interpolated
from tunebench.selection.outputs import Outputs, View
from tunebench.selection.path import STARTUP, Verdict, path_of, was_touched, watched
from tunebench.selection.selector import Candidate, SearchOptions, Selector
from tunebench.selection.tradeoff import Score
from tunebench.selection.variants import Variant
from tunebench.tuner import LogitEdit, Tuner, TuningTask

PAPER_SCALE = FloatDistribution(0.25, 16.0, log=True)
"""Search range of the scale under ``--protocol paper``; the paper's choices lie in 2 to 12."""
WALKED = 1000
"""Largest space of integers and categories that is walked without repeats."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass
class Selection:
    """The best candidate for every variant and demand, and what finding them took."""

    chosen: dict[Variant, dict[Demand, Candidate]]
    verdicts: dict[Demand, Verdict] = field(default_factory=dict)
    """What the certified choices, where there are any, are certified by."""
    trials: int = 0
    tune_seconds: float = 0.0
    reason: str | None = None
    regret: int | None = None
    """Target samples by which the exact optimum over all rays beats the plain choice at the budget."""
    history: list[dict[str, Any]] = field(default_factory=list)

    def at(self, demand: Demand) -> Selection:
        """The same for one demand alone."""
        chosen = {variant: {demand: by_demand[demand]} for variant, by_demand in self.chosen.items()}
        verdicts = {demand: self.verdicts[demand]} if demand in self.verdicts else {}
        return replace(self, chosen=chosen, verdicts=verdicts)


def search(tuner: Tuner, task: TuningTask, options: SearchOptions, trusted: bool = True) -> Selection:
    """Run every trial of ``tuner`` on ``task``; sees nothing but the task's train and validation parts.

    The limits that hold are those of ``options``. A tuner that is not ``trusted`` has read validation samples already,
    and gets no certificate.
    """
    task = constrained(task, options)
    outputs = Outputs(task)
    selector = Selector(task, options, view=View(outputs))
    path = path_of(task, options, outputs)
    everyone = [selector, path.selector] if path else [selector]
    selection = Selection(selector.chosen)
    shown = watched(task)
    clock = Clock()
    with clock:
        prepared = tuner.prepare(shown)
    selection.reason = getattr(prepared, "reason", None)
    space = dict(tuner.search_space())
    scale_searched = tuner.scalable and bool(space) and options.protocol == "paper"
    rays = getattr(tuner, "rays", None)
    if not space and rays is not None:
        with clock:
            proposals = list(rays(shown, prepared))
        for params, edit in proposals:
            check_edit(edit, task.classes, task.hidden_train.shape[1])
            considered(everyone, Draft(1, dict(params), edit), ray=True)
        selection.trials = 1
    else:
        if scale_searched:
            space["scale"] = PAPER_SCALE
        walked = finite(space, options.trials - 1) is not None
        for trial, params, report in trials_of(space, options.trials, task.seed):
            scale = params.get("scale") if scale_searched else None
            own = {name: value for name, value in params.items() if not (scale_searched and name == "scale")}
            given = dict(own)  # a tuner may take it apart; what is kept is what was tried
            with clock:
                output = checked(tuner.tune(shown, given, prepared), task)
            ray = tuner.scalable and isinstance(output, LogitEdit) and scale is None
            if scale is not None and isinstance(output, LogitEdit):
                output = output.scaled(scale)
            outputs.forget(output)
            draft = Draft(trial, own, output, scale if isinstance(output, LogitEdit) else None)
            blind = walked or trial <= STARTUP  # later ones follow scores on what certifies
            score = considered(everyone if blind else [selector], draft, ray)
            report(score)
            selection.history.append({"trial": trial, "params": params, "score": list(score)})
            selection.trials = trial
    selection.tune_seconds = clock.seconds
    if tuner.scalable and rays is not None:
        selection.regret = regret(selector, rays(shown, prepared))
    interpolated(everyone, outputs)
    if path:
        selection.verdicts = path.verdicts(selector.unchanged, trusted=trusted and not was_touched(shown))
        selection.chosen["certified"] = {demand: v.candidate for demand, v in selection.verdicts.items()}
    return selection


class Draft(NamedTuple):
    """One output of a tuner, before it is scored."""

    trial: int
    params: dict[str, Any]
    output: nn.Module | LogitEdit
    scale: float | None = None


def considered(selectors: Sequence[Selector], draft: Draft, ray: bool) -> Score:
    """Offer an output, or with ``ray`` every multiple of an edit, to ``selectors``; the score that the first gives."""
    trial, params, output, scale = draft
    scores = [
        selector.add_ray(trial, params, output)
        if ray and isinstance(output, LogitEdit)
        else selector.add(trial, params, output, scale)
        for selector in selectors
    ]
    return scores[0]


def trials_of(
    space: Mapping[str, BaseDistribution], trials: int, seed: int
) -> Iterator[tuple[int, dict[str, Any], Any]]:
    """Yield (number from 1, params, report) for each trial after the unchanged original.

    An empty space gives one trial. A `finite` space is walked in random order without repeats; any other is searched
    by TPE with TA and OA as two objectives, so that no budget is favoured. Call ``report(score)`` after each.
    """
    if not space:
        yield 1, {}, lambda score: None
        return
    study = optuna.create_study(directions=["maximize", "maximize"], sampler=optuna.samplers.TPESampler(seed=seed))
    planned = trials - 1
    grid = finite(space, planned)
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


def finite(
    space: Mapping[str, BaseDistribution], planned: int = WALKED, limit: int = WALKED
) -> list[dict[str, Any]] | None:
    """Every point of a space of integers and categories, or None if there is another kind or too many points.

    A logarithmic axis is for the sampler, since walking it would favour large values, unless ``planned`` trials
    reach every point. Sizes are arithmetic: a range may hold more values than memory.
    """
    axes: list[Sequence[Any]] = []
    most = limit
    for distribution in space.values():
        if isinstance(distribution, CategoricalDistribution):
            axes.append(distribution.choices)
        elif isinstance(distribution, IntDistribution):
            axes.append(range(distribution.low, distribution.high + 1, distribution.step))
            if distribution.log:
                most = min(most, planned)
        else:
            return None
    if math.prod(map(size_of, axes)) > most:
        return None
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*axes)]


def size_of(axis: Sequence[Any]) -> int:
    """Number of values; `len` refuses ranges of more than a machine word."""
    return (axis[-1] - axis[0]) // axis.step + 1 if isinstance(axis, range) else len(axis)


def regret(selector: Selector, rays: Any) -> int:
    """How many target samples the exact optimum over all ``rays`` has more than the plain choice, at the budget."""
    options = selector.options
    found = selector.chosen["plain"][options.budget].score.hits
    best = found
    for _, edit in rays:
        steps = selector.steps(edit)
        interval = tradeoff.best_interval(steps, selector.samples, options.budget, options.margin)
        if interval is not None:
            best = max(best, steps.score(interval).hits)
    return best - found


def checked(output: Any, task: TuningTask) -> nn.Module | LogitEdit:
    """``output`` if a tuner may return it; InvalidOutput otherwise."""
    if isinstance(output, LogitEdit):
        check_edit(output, task.classes, task.hidden_train.shape[1])
        return output
    if not isinstance(output, nn.Module):
        raise InvalidOutput(f"tune() returned {type(output).__name__}, neither a torch.nn.Module nor a LogitEdit")
    if output is task.model:
        raise InvalidOutput("tune() returned task.model itself; return a tuned copy")
    if isinstance(output, torch.jit.ScriptModule) and next(output.parameters(), None) is None:
        raise InvalidOutput("tune() returned a frozen network, whose parameters cannot be counted; return it scripted")
    return output


class Clock:
    """Adds up the seconds spent inside its ``with`` blocks: the clock surrounds only the method."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start
