"""For authors of tuners: small real tasks, and the checks that every tuner has to pass.

Subclass `TunerConformance` in a pytest file and override its fixture ``tuner``, or run ``tunebench check``.
"""

from tunebench.testing.checks import CHECKS, Result, run_checks
from tunebench.testing.conformance import TunerConformance
from tunebench.testing.subject import CheckFailed, Subject
from tunebench.testing.tasks import KINDS, small_task

__all__ = ["CHECKS", "KINDS", "CheckFailed", "Result", "Subject", "TunerConformance", "run_checks", "small_task"]
