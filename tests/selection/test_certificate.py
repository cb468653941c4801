"""The certificate: published examples, monotonicity, exact size, power, and what it refuses."""

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.optimize import brentq
from statsmodels.stats import rates
from statsmodels.stats.proportion import proportion_confint

from tunebench import UsageError
from tunebench.selection.certificate import (
    certifies,
    discordance_at,
    loss_bound,
    quantile,
    recall_bound,
    recall_samples_needed,
    samples_needed,
    walk,
)
from tunebench.selection.power import certified_chance


def tango(lost, gained, samples, loss):
    """Tango's statistic, from the estimate that the certificate uses."""
    variance = samples * (discordance_at(loss, lost, gained, samples) - loss**2)
    return (lost - gained - samples * loss) / math.sqrt(variance)


@pytest.mark.parametrize(
    ("table", "confidence", "interval"),
    [
        ((43, 0, 1, 0), 0.90, (-0.096, 0.037)),  # Tango 1998, disinfection of contact lenses
        ((4, 9, 3, 16), 0.95, (-0.027, 0.390)),  # Tango 1998, crossover trial
        ((59, 6, 16, 80), 0.95, (-0.1240, -0.0054)),  # Fagerland, Lydersen & Laake 2017, consolidation therapy
    ],
)
def test_published_intervals(table, confidence, interval):
    """Tango's score interval of published tables (right by both, first, second, none) to every printed digit."""
    _, first, second, _ = table
    samples, z = sum(table), quantile((1 + confidence) / 2)
    middle = (first - second) / samples
    ends = [
        brentq(lambda loss, end=end: tango(first, second, samples, loss) - end, low, high)
        for end, low, high in ((z, -0.9, middle), (-z, middle, 0.9))
    ]
    assert ends == pytest.approx(interval, abs=6e-4 if table[0] != 59 else 6e-5)


@pytest.mark.parametrize(("lost", "gained", "allowed"), [(3, 9, 4.0), (0, 0, 2.5), (12, 0, 20.0), (40, 38, 25.0)])
def test_rare_changes_are_two_poisson_counts(lost, gained, allowed):
    """With very many samples the statistic is the score test of two Poisson rates, as statsmodels computes it."""
    reference = rates.test_poisson_2indep(lost, 1, max(gained, 1e-9), 1, value=allowed, method="score", compare="diff")
    samples = 10**8
    assert tango(lost, gained, samples, allowed / samples) == pytest.approx(reference.statistic, rel=1e-5)


COUNTS = st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(1, 20_000)).map(
    lambda c: (c[0], c[1], c[0] + c[1] + c[2])
)
BUDGETS = st.one_of(st.floats(0, 0.05), st.floats(0, 1))
CONFIDENCES = st.floats(0.501, 0.999)


@given(COUNTS, BUDGETS, CONFIDENCES, st.integers(1, 50), st.sampled_from(["lost", "gained", "samples", "both"]))
@example((0, 0, 600), 0.005, 0.9, 1, "samples")
def test_counts_are_monotone(counts, budget, confidence, step, what):
    """A certificate stays with fewer losses, more gains or more samples."""
    lost, gained, samples = counts
    assume(certifies(lost, gained, samples, budget, confidence))
    if what == "lost":
        lost = max(0, lost - step)
    else:
        gained += step * (what != "samples")
        samples += step * (1 if what == "samples" else 1 + step)
    assert certifies(lost, gained, samples, budget, confidence)


@given(COUNTS, BUDGETS, CONFIDENCES, st.floats(0, 0.5), st.floats(0, 1))
def test_demands_are_monotone(counts, budget, confidence, more, less):
    """A certificate stays for a larger budget and for a lower confidence."""
    assume(certifies(*counts, budget, confidence))
    assert certifies(*counts, min(1.0, budget + more), confidence)
    assert certifies(*counts, budget, confidence - less * (confidence - 0.501))


@given(COUNTS, CONFIDENCES)
def test_the_bound_is_the_least_budget(counts, confidence):
    """`loss_bound` is where `certifies` begins, and lies above what was seen."""
    bound = loss_bound(*counts, confidence)
    lost, gained, samples = counts
    assert 0 <= bound <= 1
    assert bound >= (lost - gained) / samples
    if bound < 1:
        assert certifies(*counts, min(1.0, bound + 1e-9), confidence)
    if bound > 0:
        assert not certifies(*counts, max(0.0, bound - 1e-9), confidence)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("samples", [20, 300, 1000, 5000])
@pytest.mark.parametrize("budget", [0.001, 0.005, 0.05])
def test_false_certificates_are_as_rare_as_promised(samples, budget, confidence):
    """At a true loss of exactly the budget the exact rate of certificates is at most 1 - confidence, always."""
    shares = [budget, 1.1 * budget, 2 * budget, 5 * budget, 0.2, 0.9, 0.98, 1.0]
    chances = [certified_chance(samples, budget, share, budget, confidence) for share in shares]
    assert max(chances) <= 1 - confidence
    if samples * budget > 20:
        assert max(chances) > 0.8 * (1 - confidence)  # and not for want of giving any


def test_the_chance_is_that_of_the_trinomial():
    """The sum over changes equals the sum over all pairs of counts."""
    from scipy.stats import multinomial

    samples, loss, discordance, budget = 40, 0.02, 0.2, 0.1
    shares = [(discordance + loss) / 2, (discordance - loss) / 2, 1 - discordance]
    total = sum(
        multinomial.pmf([lost, gained, samples - lost - gained], samples, shares)
        for lost in range(samples + 1)
        for gained in range(samples + 1 - lost)
        if certifies(lost, gained, samples, budget, 0.9)
    )
    assert certified_chance(samples, loss, discordance, budget, 0.9) == pytest.approx(total, abs=1e-10)
    assert 0.1 < total < 0.9


@pytest.mark.parametrize(("budget", "discordance", "most"), [(0.005, 0.02, 1.2 * 3600), (0.002, 0.01, 1.2 * 11_400)])
def test_it_takes_few_samples(budget, discordance, most):
    """80 % power takes at most 1.2 times the samples of Tango's asymptotic test; `samples_needed` knows how many."""
    needed = samples_needed(budget, 0.9, discordance)
    assert needed <= most
    assert certified_chance(needed, 0.0, discordance, budget, 0.9) == pytest.approx(0.8, abs=0.02)


def test_the_least_number_of_samples():
    """What `samples_needed` says of a network that changes nothing is where certificates begin; more loss asks more."""
    least = samples_needed(0.005, 0.9)
    assert certifies(0, 0, least, 0.005, 0.9)
    assert not certifies(0, 0, least - 1, 0.005, 0.9)
    assert least < samples_needed(0.005, 0.9, 0.02) < samples_needed(0.005, 0.9, 0.02, 0.002)
    assert samples_needed(0.005, 0.9, 0.02, 0.005) is None
    assert samples_needed(0.0, 0.9, 0.02, -0.001) > 1000


@given(st.integers(1, 2000), st.floats(0, 1), CONFIDENCES)
def test_the_recall_bound_is_that_of_clopper_and_pearson(samples, share, confidence):
    """One end of statsmodels' exact interval of twice the error."""
    hits = round(share * samples)
    expected, _ = proportion_confint(hits, samples, 2 * (1 - confidence), method="beta")
    assert recall_bound(hits, samples, confidence) == pytest.approx(expected, abs=1e-9)


def test_recall_samples_needed():
    """Enough target samples reach the floor, one fewer does not; a recall at the floor never does."""
    needed = recall_samples_needed(0.95, 0.9, 1.0)
    assert recall_bound(needed, needed, 0.9) >= 0.95 > recall_bound(needed - 1, needed - 1, 0.9)
    assert recall_samples_needed(0.95, 0.9, 0.95) is None


def test_the_walk_ends_at_the_first_failure():
    """Points after a failure do not count, and are not even looked at."""
    assert walk([True, True, False, True]) == 2
    assert walk([]) == 0
    assert walk(x < 3 for x in iter([1, 2, 3, None])) == 2


@pytest.mark.parametrize("confidence", [0.5, 1.0, 90, math.nan])
def test_a_confidence_is_a_share(confidence):
    """Anything outside (0.5, 1) is refused by name."""
    with pytest.raises(UsageError, match="confidence"):
        certifies(0, 0, 1000, 0.005, confidence)
    with pytest.raises(UsageError, match="confidence"):
        recall_bound(9, 10, confidence)


@pytest.mark.parametrize("counts", [(-1, 0, 10), (0, -1, 10), (6, 5, 10), (0, 0, 0)])
def test_impossible_counts(counts):
    """Negative counts, more changes than samples and no samples at all are refused."""
    with pytest.raises(UsageError, match="cannot be"):
        loss_bound(*counts, 0.9)
    with pytest.raises(UsageError, match="budget"):
        certifies(0, 0, 10, 1.5, 0.9)
