"""The certified variant on a real small network: where it chooses, what it certifies, whom it does not trust."""

import numpy as np
import pytest
import torch
from digits import digits_task
from optuna.distributions import FloatDistribution
from test_search import Shifts, logits_of, tuner_named

from tunebench import LogitEdit, Tuner
from tunebench.grid.evaluation import searched
from tunebench.selection import search as searching
from tunebench.selection.budgets import Floor
from tunebench.selection.certificate import loss_bound, recall_bound
from tunebench.selection.path import STARTUP, Path, ladder, parts, was_touched, watched
from tunebench.selection.search import search
from tunebench.selection.selector import SearchOptions

OPTIONS = SearchOptions(trials=4, budget=5.0, confidence=0.8)


class Peeks(Shifts):
    """Looks at validation labels before it tunes."""

    name = "peeks"

    def prepare(self, task):
        """Their number."""
        return len(task.y_valid)


class PeeksEarly(Shifts):
    """Looks at them when it is asked whether it can work at all."""

    name = "peeks-early"

    def skip(self, task):
        """It can, with what it has seen."""
        self.seen = task.y_valid


class Late(Tuner):
    """Changes nothing until `STARTUP` trials are over; then it raises the target."""

    name = "late"

    def __init__(self):
        self.calls = 0

    def search_space(self):
        """A number that is not used."""
        return {"x": FloatDistribution(0, 1)}

    def tune(self, task, params, prepared):
        """A bias, from the second half on."""
        self.calls += 1
        return LogitEdit.of_target(task, bias=0.5 * (self.calls > STARTUP))


def certified_by(selection):
    """Demands with a certificate."""
    return [demand for demand, verdict in selection.verdicts.items() if verdict.certificate]


def test_validation_is_split_by_its_labels():
    """A quarter chooses, the rest certifies, every class in proportion; the tuner's seed does not matter."""
    task = digits_task()
    choose, rest = parts(task)
    assert len(choose) == len(task.y_valid) // 4
    assert sorted(torch.cat([choose, rest]).tolist()) == list(range(len(task.y_valid)))
    shares = [torch.bincount(task.y_valid[rows]) / len(rows) for rows in (choose, rest)]
    assert float((shares[0] - shares[1]).abs().max()) < 0.01


def test_a_certificate_follows_from_the_rest():
    """Counts and bound are those of the chosen network on V2, the score is that of all of validation."""
    task = digits_task()
    selection = search(tuner_named("logit-bias"), task, OPTIONS)
    assert 5.0 in certified_by(selection)
    _, rest = parts(task)
    before = task.logits_valid.argmax(1) == task.y_valid
    for demand in certified_by(selection):
        verdict, candidate = selection.verdicts[demand], selection.chosen["certified"][demand]
        after = logits_of(task, candidate).argmax(1) == task.y_valid
        lost, gained = (int((a & ~b)[rest].sum()) for a, b in ((before, after), (after, before)))
        promise = verdict.certificate
        assert (promise.lost, promise.gained, promise.samples) == (lost, gained, len(rest))
        assert promise.bound == loss_bound(lost, gained, len(rest), 0.8) <= demand / 100
        assert candidate.score.correct == int(after.sum())
    assert selection.chosen["certified"][5.0].score.hits > int(before[task.y_valid == task.target].sum())


def test_what_is_not_certified_stays_and_says_what_is_missing():
    """448 samples cannot certify a tenth of a point: the original, and how many samples more."""
    selection = search(tuner_named("logit-bias"), digits_task(), OPTIONS)
    verdict = selection.verdicts[0.1]
    assert verdict.certificate is None
    assert verdict.candidate.trial == 0
    assert verdict.candidate.shift == 0
    assert verdict.missing is None or verdict.missing > 1000
    assert set(selection.verdicts) == set(selection.chosen["certified"]) == set(OPTIONS.demands)


def test_the_others_choose_as_without_it(monkeypatch):
    """Plain and shifted are the same candidates with and without a path beside them."""

    def summary(selection):
        return [
            (variant, budget, c.trial, c.params, c.score, c.scale, c.shift)
            for variant in ("plain", "shifted")
            for budget, c in selection.chosen[variant].items()
        ], selection.history

    tuner = tuner_named("smvt-sj")
    beside = summary(search(tuner, digits_task(), OPTIONS))
    monkeypatch.setattr(searching, "path_of", lambda *_: None)
    assert summary(search(tuner, digits_task(), OPTIONS)) == beside


@pytest.mark.parametrize("peeking", [Peeks, PeeksEarly], ids=lambda kind: kind.name)
def test_who_reads_validation_is_not_certified(peeking):
    """A tuner that has seen the samples which would certify it gets no certificate; its plain result stays."""
    space = {"bias": FloatDistribution(0.1, 0.5)}
    honest, peeked = (searched(digits_task(), kind(space), OPTIONS) for kind in (Shifts, peeking))
    assert certified_by(honest)
    assert not certified_by(peeked)
    assert {v.missing for v in peeked.verdicts.values()} == {None}
    assert [c.score for c in peeked.chosen["plain"].values()] == [c.score for c in honest.chosen["plain"].values()]


def test_watching_does_not_get_in_the_way():
    """Training samples may be read; any door to validation is noticed."""
    task = watched(digits_task())
    assert task.x_train is digits_task().x_train
    assert not was_touched(task)
    assert vars(task)
    assert was_touched(task)


def test_trials_that_follow_scores_do_not_enter():
    """What the sampler proposes after it has seen scores of V2 is a candidate for plain and shifted alone."""
    selection = search(Late(), digits_task(), SearchOptions(trials=STARTUP + 3, budget=5.0, confidence=0.8))
    assert selection.chosen["plain"][5.0].trial > STARTUP
    assert selection.chosen["certified"][5.0].trial == 0


def test_no_certificate_on_the_test_split():
    """Under the published protocol nothing is held out, so nothing can be certified."""
    selection = search(tuner_named("sj"), digits_task(), SearchOptions(trials=3, protocol="paper"))
    assert "certified" not in selection.chosen
    assert not selection.verdicts


@pytest.mark.parametrize("budget", [0.2, 0.3, 3.0])
def test_the_ladder_is_short_and_ascends(budget):
    """At most 20 points of either kind, safest first: the smallest budget, the highest floor."""
    demands = ladder(SearchOptions(budget=budget, recall=0.9))
    budgets = [d for d in demands if not isinstance(d, Floor)]
    floors = [d for d in demands if isinstance(d, Floor)]
    assert len(budgets) <= 20
    assert len(floors) <= 20
    assert budgets == sorted(set(budgets))
    assert budgets[0] < 0
    assert budgets[-1] == max(1.0, budget)
    assert floors == sorted(set(floors), reverse=True)
    assert floors[-1] == Floor(0.9)


def test_a_floor_is_met_at_the_least_loss():
    """Under --recall every variant has the floor, with the highest OA that an exhaustive search of biases finds."""
    task = digits_task()
    mine = task.y_valid == task.target
    floor = Floor(0.97)
    selection = search(tuner_named("logit-bias"), task, SearchOptions(trials=3, recall=0.97, confidence=0.8))
    best = 0
    for bias in np.linspace(-1, 8, 1801):
        logits = task.logits_valid.clone()
        logits[:, task.target] += float(bias)
        right = logits.argmax(1) == task.y_valid
        if int(right[mine].sum()) >= floor.least(int(mine.sum())):
            best = max(best, int(right.sum()))
    for variant in ("plain", "shifted"):
        found = selection.chosen[variant][floor].score
        assert found.hits >= floor.least(int(mine.sum()))
        assert found.correct >= best
    certified = selection.verdicts[floor]
    if certified.certificate:
        promise = certified.certificate
        assert promise.bound == recall_bound(promise.hits, promise.samples, 0.8) >= 0.97
    assert {0.0, 0.1, 0.2, 0.5, 1.0, floor} == set(selection.chosen["plain"])


def test_a_floor_can_be_certified():
    """A modest floor is certified from the rest's target samples, at more TA than it asks for."""
    task = digits_task()
    selection = search(tuner_named("logit-bias"), task, SearchOptions(trials=3, recall=0.8, confidence=0.8))
    verdict = selection.verdicts[Floor(0.8)]
    assert verdict.certificate is not None
    path = Path(task, SearchOptions(recall=0.8))
    assert verdict.certificate.samples == path.base.totals
    assert verdict.certificate.hits / verdict.certificate.samples > 0.8
