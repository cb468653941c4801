"""Which line is taken: a promise of something better first, and never a promise of something worse."""

from types import SimpleNamespace

import pytest

from tunebench import UsageError
from tunebench.own.comparison import FROZEN, TRAINING, Wish, chosen_tuners, left_out, too_large
from tunebench.own.pick import Choice, Line, merit, pick, promised
from tunebench.own.report import Report, closing, table
from tunebench.plugins import load_registry

CERTIFICATE = {"confidence": 0.95, "bound": 0.0031, "samples": 4000, "lost": 10, "gained": 9, "hits": 300}
ORIGINAL = Line("original", "ok", ta=0.80, oa=0.90)


def line(tuner, ta, oa, certified=False, **more):
    """A line that is all right."""
    return Line(tuner, "ok", ta=ta, oa=oa, **{"certificate": CERTIFICATE if certified else None, **more})


def taken(*lines, **wish):
    """The tuner that is picked, and why."""
    found = pick([ORIGINAL, *lines], Wish(0, **wish))
    return found.line.tuner, found.why


def test_the_highest_certified_recall_wins():
    """A certificate comes before a higher recall without one; ties go to the smaller change."""
    tuner, why = taken(line("last-layer", 0.95, 0.90), line("logit-bias", 0.85, 0.90, True))
    assert tuner == "logit-bias"
    assert why.endswith("of all with a certificate at 90 %")
    assert taken(line("last-layer", 0.85, 0.90, True), line("logit-bias", 0.85, 0.90, True))[0] == "logit-bias"


def test_the_fewest_extras_win_a_tie():
    """Where interpolated, say, chose what shifted chose, it is called shifted, in whatever order a record has them."""
    variants = ("certified", "interpolated", "shifted", "plain")
    for few in range(1, 4):
        lines = [line("logit-bias", 0.9, 0.9, variant=variant) for variant in variants[:few]]
        assert pick([ORIGINAL, *lines], Wish(0)).line.variant == variants[few - 1]


def test_a_certified_step_back_hides_nothing():
    """A point that is certified and lower than the original is no reason to keep the network as it is."""
    tuner, why = taken(line("logit-bias", 0.79, 0.91, True), line("last-layer", 0.95, 0.90, missing=400))
    assert tuner == "last-layer"
    assert "nothing could be certified" in why
    assert "about 400 more samples, drawn anew" in why
    assert taken(line("logit-bias", 0.79, 0.91, True))[0] == "original"


def test_under_a_floor_the_least_loss_wins():
    """Of those that keep the floor the highest accuracy is taken, not the highest recall."""
    lines = line("logit-bias", 0.99, 0.87), line("last-layer", 0.96, 0.917), line("smvt-sj-exact", 0.94, 0.95)
    assert taken(*lines, recall=0.95)[0] == "last-layer"
    assert taken(line("logit-bias", 0.99, 0.87), recall=0.995)[0] == "original"
    kept = line("last-layer", 0.75, 0.95), line("logit-bias", 0.71, 0.90)
    assert taken(*kept, recall=0.7)[0] == "last-layer"
    assert "samples of the class" in taken(line("logit-bias", 0.99, 0.87, missing=50), recall=0.95)[1]


def test_what_is_promised_is_what_was_asked_for():
    """The bound of the last point's own counts is an estimate: they decided which point is the last."""
    found = promised(CERTIFICATE, Wish(0, budget=1))
    assert (found["bound"], found["estimate"]) == (0.01, 0.0031)
    assert promised(CERTIFICATE, Wish(0, recall=0.95))["bound"] == 0.95
    assert promised(None, Wish(0)) is None


def test_certificates_hold_whichever_tuner_is_picked():
    """With several tuners each is certified at a share of the risk; one alone at all of it."""
    wish = Wish(0, confidence=0.9)
    assert wish.confidence_each(["original", "logit-bias"]) == pytest.approx(0.9)
    assert wish.confidence_each(["original", "a", "b", "c", "d"]) == pytest.approx(0.975)
    assert merit(line("logit-bias", 0.9, 0.9, True), ORIGINAL, wish)[:2] == (True, True)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"recall": 0.9995}, "TA is at least 99.95 % on new data like these, with confidence 99.5 %"),
        ({"recall": 0.9995}, "on 4,000 samples of the class that no choice has seen 300 are right"),
        ({"budget": 0.125}, "OA falls by at most 0.125 points on new data like these, with confidence 99.5 %"),
        ({"budget": 0.125}, "on 4,000 samples that no choice has seen 10 are lost, 9 gained"),
    ],
)
def test_a_promise_is_said_as_it_was_made(wish, said):
    """No digit of it is rounded away, and counts are of the samples that are named."""
    wish = Wish(0, confidence=0.995, **wish)
    best = line("logit-bias", 1.0, 0.9, certificate=promised(CERTIFICATE, wish))
    report = Report(SimpleNamespace(wish=wish), [ORIGINAL, best], Choice(best, "it is best"))
    assert said in closing(report)
    assert " 99.95 at least" in table(report) or " -0.125 at most" in table(report)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"budget": 150}, "budget is 150; give percentage points"),
        ({"budget": -1}, "budget is -1"),
        ({"recall": 95}, "recall is 95; give the least TA as a share"),
        ({"confidence": 0.3}, "confidence is 0.3; give a share above 0.5"),
    ],
)
def test_wishes_are_checked_before_anything_is_computed(wish, said):
    """In the words of what was asked for, not of what is derived from it."""
    with pytest.raises(UsageError, match=said):
        Wish(0, **wish)


def test_the_default_tuners():
    """Those that fit, with what is named besides; a refit that would take minutes only where it is named."""
    registry = load_registry()
    large = too_large(1024, 10)
    assert list(large) == ["refit-all"]
    assert too_large(300, 10) == {}
    assert list(too_large(2048, 2)) == ["refit", "refit-all"]
    frozen = sorted({"original", *FROZEN} - {"refit-all"})
    assert chosen_tuners(registry, Wish(0), False, large) == frozen
    assert chosen_tuners(registry, Wish(0, ("auto", "afr")), False, large) == sorted([*frozen, "afr"])
    assert chosen_tuners(registry, Wish(0, ("refit-all",)), False, large) == ["original", "refit-all"]
    assert {*TRAINING, *frozen} == set(chosen_tuners(registry, Wish(0), True, large))
    assert left_out(Wish(0), frozen, large)["refit-all"]["status"] == "skipped"
    assert left_out(Wish(0, ("auto", "refit-all")), [*frozen, "refit-all"], large) == {}
    assert left_out(Wish(0, ("afr",)), ["afr"], large) == {}
