"""How much times vary by themselves: what one wild row may not hide, and what is too much to decide."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tunebench import gate
from tunebench.gate.comparison import check_times, noise, same_measurements

LIMIT = gate.Limit.parse("latency_ratio:+25%")


def row(*ratios):
    """A row of seeds that all took 1 before, and these times now."""
    return [(seed, 1.0, ratio) for seed, ratio in enumerate(ratios)]


def judged(**rows):
    """The verdict on rows of times."""
    verdict = gate.Verdict()
    check_times(LIMIT, {("digits", "model1", "5", name): found for name, found in rows.items()}, verdict)
    return verdict


def test_noise_is_the_deviation_between_seeds():
    """On many rows of a known deviation it comes out; a shift that a whole row shares is none."""
    logs = np.random.default_rng(0).normal(0, 0.1, (400, 3)) + np.linspace(-1, 1, 400)[:, None]
    assert noise([row(*np.exp(line)) for line in logs]) == pytest.approx(0.1, rel=0.1)
    assert noise([row(1.5, 1.5), row(1.0, 1.0), []]) == 0


def test_rows_of_one_seed_are_held_against_each_other():
    """Without a second seed the deviation between rows is the noise; a single row shows none."""
    logs = np.random.default_rng(1).normal(0.02, 0.1, 400)
    assert noise([row(ratio) for ratio in np.exp(logs)]) == pytest.approx(0.1, rel=0.15)
    assert noise([row(1.1), []]) == 0
    assert noise([row(1.0), row(1.0), row(4.0)]) == 0
    assert stats.norm.ppf(0.75) == pytest.approx(0.6745, abs=1e-4)


def test_one_wild_row_hides_no_slower_tuner():
    """A row whose seeds differ a hundredfold does not excuse another that is four times slower on each."""
    quiet = {f"steady-{i}": row(1.0, 1.01, 0.99) for i in range(3)}
    verdict = judged(wild=row(0.1, 1.0, 10.0), slow=row(4.0, 4.1, 4.2), **quiet)
    assert [change.place[3] for change in verdict.regressions] == ["slow"]
    assert verdict.exit_code == gate.REGRESSION


def test_noise_adds_no_more_than_the_limit():
    """With noise just within a limit of 25 %, a row at twice the limit and more is a regression."""
    shaky = {f"shaky-{i}": row(0.92, 1.12) for i in range(3)}
    assert np.expm1(2 * noise(shaky.values())) > 0.25 > np.expm1(noise(shaky.values()))
    verdict = judged(slow=row(1.52, 1.53), **shaky)
    assert [change.place[3] for change in verdict.regressions] == ["slow"]
    assert judged(slow=row(1.48, 1.49), **shaky).exit_code == 0


def test_noise_beyond_the_limit_decides_nothing():
    """Where most rows vary by more than the limit the exit code is 4 and the text says by how much; never 0."""
    verdict = judged(**{f"loud-{i}": row(0.5, 1.0, 2.0) for i in range(4)})
    assert verdict.exit_code == gate.INCOMPLETE
    (gap,) = verdict.gaps
    assert "latency_ratio varies by" in gap
    assert "limit of 25 %" in gap


def test_a_run_held_against_itself_says_so(tunebench, digits_run):
    """The same folder twice passes, and a note says that it had to."""
    done = tunebench("gate", digits_run, "--baseline", digits_run)
    assert done.code == 0
    assert "note: the run is held against itself" in done.out


def test_cells_that_were_not_computed_again_are_counted():
    """One kept cell among two is told; two cells with times of their own are not."""
    place = ("digits", "model1", "5", "sj")
    rows = [(place, seed, {"tune_seconds": 1.5 + seed}, {"tune_seconds": 1.5}) for seed in (0, 1)]
    assert same_measurements(rows) == ["1 of 2 cells are the baseline's own, not computed again"]
    assert same_measurements(rows[1:]) == []
