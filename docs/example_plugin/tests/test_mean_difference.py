"""Tests of mean-difference; install the package first (pip install -e .), so that tunebench finds it."""

import pytest

from mean_difference import MeanDifference
from tunebench.testing import TunerConformance


class TestConformance(TunerConformance):
    """All of the checks of `tunebench check`."""

    @pytest.fixture
    def tuner(self):
        """The tuner under test."""
        return MeanDifference()


def test_raises_the_target(tunebench_leaderboard):
    """On held-out real data the target class gains, and the rest loses no more than a point."""
    (row,) = tunebench_leaderboard("mean-difference", seeds=1).rows
    assert row["status"] == "ok"
    assert row["ta_gain"] >= 0
    assert row["oa_gain"] >= -0.01
