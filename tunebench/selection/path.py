"""The certified variant: a path of choices from one part of validation, judged on the rest, which nothing has seen.

Validation is split, stratified, into V1, a quarter that chooses, and V2, which certifies. From V1 comes an ordered
path, safest first: the best candidate of all `tunebench.selection.variants.MAKERS` for each of a ladder of demands. On
V2 it is walked until a point fails (`tunebench.selection.certificate.walk`), once for every budget; each certificate
holds at the confidence named, not all of them at once. Only what V2 cannot have influenced enters the path: no trial
that the search proposed after it had seen scores (`STARTUP`), and nothing of a tuner that reads validation samples
itself (`Watched`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import torch

from tunebench.datasets.splits import stratified
from tunebench.errors import DataError
from tunebench.selection import tradeoff
from tunebench.selection.budgets import Demand, Floor
from tunebench.selection.certificate import (
    loss_bound,
    recall_bound,
    recall_samples_needed,
    samples_needed,
    walk,
)
from tunebench.selection.outputs import Outputs, View
from tunebench.selection.selector import Candidate, SearchOptions, Selector
from tunebench.selection.tradeoff import Score
from tunebench.tuner import TuningTask

SHARE, SEED = 4, 0
"""V1 is one of so many parts. The labels decide the split with the seed, so that all tuners of an original share it."""
RUNGS = (-0.5, 0.25, 0.5, 1.0)
"""Parts of every budget that the path has a point for; a negative one asks for a gain of OA on V1."""
HEIGHTS = (0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0)
"""Parts of the way from a floor to 1 that the path has a point for."""
STARTUP = 10
"""Trials that Optuna's TPE sampler draws before it looks at any score."""
HELD_OUT = frozenset({"x_valid", "y_valid", "hidden_valid", "logits_valid", "__dict__"})


@dataclass(frozen=True)
class Certificate:
    """What is promised, and the counts that it follows from."""

    confidence: float
    bound: float
    """Most that OA falls, a fraction; under a floor the least TA."""
    samples: int
    """Of V2; under a floor its target samples."""
    lost: int
    gained: int
    hits: int
    """Target samples of V2 that are right."""


@dataclass(frozen=True)
class Verdict:
    """The furthest point of the path with a certificate, or the original."""

    candidate: Candidate
    certificate: Certificate | None = None
    missing: int | None = None
    """Without one, how many more validation samples it would probably have taken; None where none would do."""

    def as_dict(self) -> dict[str, Any]:
        """What a record says of it beside the candidate."""
        return {"certificate": asdict(self.certificate) if self.certificate else None, "missing": self.missing}


class Watched(TuningTask):
    """The task as tuners get it: notes whether one reads validation samples, which cannot certify it then."""

    def __getattribute__(self, name: str) -> Any:
        if name in HELD_OUT:
            object.__setattr__(self, "touched", True)
        return super().__getattribute__(name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A copy takes the samples along."""
        object.__setattr__(self, "touched", True)
        return super().__reduce_ex__(protocol)


def watched(task: TuningTask) -> Watched:
    """The same task, untouched so far."""
    return Watched(**vars(task))


def was_touched(task: Watched) -> bool:
    """Whether validation samples were read."""
    return getattr(task, "touched", False)


class Path:
    """Collects candidates on V1 and judges the best of them on V2, once."""

    def __init__(self, task: TuningTask, options: SearchOptions, outputs: Outputs | None = None) -> None:
        self.options = options
        self.whole = View(outputs or Outputs(task))
        choosing, self.judge = (View(self.whole.outputs, rows) for rows in parts(task))
        self.selector = Selector(task, options, ladder(options), choosing)
        self.base = tradeoff.margins(self.judge.original, self.judge.labels, task.targets)

    def verdicts(self, unchanged: Candidate, trusted: bool = True) -> dict[Demand, Verdict]:
        """The verdict for every demand of the options; ``unchanged`` where nothing is certified, or unless ``trusted``.

        The score of what is certified is that of all validation samples.
        """
        scores: dict[int, Score] = {}

        def score(point: Candidate) -> Score:
            if id(point) not in scores:
                logits = self.judge.logits(point.output, point.shift)
                scores[id(point)] = tradeoff.score(logits, self.base, self.judge.labels)
            return scores[id(point)]

        whole = cache(lambda point: replace(point, score=Score(*map(sum, zip(point.score, score(point), strict=True)))))

        def verdict(demand: Demand) -> Verdict:
            points = self.points(demand) if trusted else []
            passed = walk(
                kept(self.certificate(demand, score(point)), demand) and self.protects(point) for point in points
            )
            if not passed:
                return Verdict(unchanged, missing=self.missing(demand, score(points[0])) if points else None)
            furthest = points[passed - 1]
            return Verdict(whole(furthest), self.certificate(demand, score(furthest)))

        return {demand: verdict(demand) for demand in self.options.demands}

    def protects(self, point: Candidate) -> bool:
        """Whether a point spares the protected classes on all of validation; where not, the walk ends earlier."""
        protect, view = self.whole.outputs.task.protect, self.whole
        if not protect:
            return True
        base = tradeoff.margins(view.original, view.labels, view.outputs.task.targets, protect=protect)
        return tradeoff.protects(view.logits(point.output, point.shift), view.labels, protect, base.least)

    def points(self, demand: Demand) -> list[Candidate]:
        """The path of a kind of demand: distinct choices, safest first, without the original."""
        rungs = self.selector.chosen["plain"].items()
        mine = [c for rung, c in rungs if isinstance(rung, Floor) == isinstance(demand, Floor)]
        return list({id(c): c for c in mine if c is not self.selector.unchanged}.values())

    def certificate(self, demand: Demand, score: Score) -> Certificate:
        """The bound that counts on V2 give."""
        confidence = self.options.confidence
        if isinstance(demand, Floor):
            bound, samples = recall_bound(score.hits, self.base.totals, confidence), self.base.totals
        else:
            samples = len(self.judge.labels)
            bound = loss_bound(score.lost, score.gained, samples, confidence)
        return Certificate(confidence, bound, samples, score.lost, score.gained, score.hits)

    def missing(self, demand: Demand, score: Score) -> int | None:
        """How many more validation samples a point with the rates of ``score`` would need."""
        confidence = self.options.confidence
        if isinstance(demand, Floor):
            have = self.base.totals
            needed = recall_samples_needed(demand.recall, confidence, score.hits / have)
        else:
            have = len(self.judge.labels)
            changed, loss = (score.lost + score.gained) / have, (score.lost - score.gained) / have
            needed = samples_needed(demand / 100, confidence, changed, loss)
        return None if needed is None else math.ceil(max(1, needed - have) * SHARE / (SHARE - 1))


def kept(certificate: Certificate, demand: Demand) -> bool:
    """Whether a bound keeps a demand."""
    if isinstance(demand, Floor):
        return certificate.bound >= demand.recall
    return certificate.bound <= demand / 100


def path_of(task: TuningTask, options: SearchOptions, outputs: Outputs | None = None) -> Path | None:
    """The path of a search; None where validation cannot be split, or is the test split."""
    if options.protocol == "paper":
        return None
    try:
        return Path(task, options, outputs)
    except DataError:
        return None


def ladder(options: SearchOptions) -> tuple[Demand, ...]:
    """The demands that the path has a point for, safest first: at most 20 of either kind."""
    budgets: list[Demand] = sorted({rung * budget for rung in RUNGS for budget in options.budgets})
    if options.recall is None:
        return tuple(budgets)
    room = 1 - options.recall
    return (*budgets, *(Floor(options.recall + height * room) for height in HEIGHTS))


def parts(task: TuningTask) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of V1 and V2; DataError where a class has too few samples for both."""
    labels = task.y_valid.cpu().numpy()
    rest, rows = stratified(labels, len(labels) // SHARE, SEED)
    return torch.from_numpy(rows).to(task.device), torch.from_numpy(rest).to(task.device)
