"""The checks as a pytest class; importing it does not need pytest."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from typing import Any

from tunebench.testing.checks import CHECKS
from tunebench.testing.subject import Blocked, Subject
from tunebench.tuner import Tuner


class TunerConformance:
    """Subclass it in a test file and override one fixture, ``tuner``, which returns the tuner.

    A test that cannot say anything, because another one has failed already, is skipped and names the other one.
    """

    __test__ = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__test__ = True

    def test_conformance(self, tuner: Tuner, tuner_check: str, record_property: Callable[[str, Any], None]) -> None:
        """One of the checks of ``tunebench check``."""
        subject = Subject(tuner)
        try:
            CHECKS[tuner_check](subject)
        except Blocked as exc:
            raise unittest.SkipTest(str(exc)) from None
        if subject.seconds:
            record_property("seconds_per_trial", min(subject.seconds))

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test per check."""
        if "tuner_check" in metafunc.fixturenames:
            metafunc.parametrize("tuner_check", list(CHECKS))
