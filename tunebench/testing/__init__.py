"""For authors of tuners and networks: small real tasks, and the checks that each has to pass.

Subclass `TunerConformance` in a pytest file and override its fixture ``tuner``, or run ``tunebench check``.
"""

from tunebench.testing.checks import CHECKS, Result, run_checks
from tunebench.testing.conformance import TunerConformance
from tunebench.testing.network_checks import NETWORK_CHECKS, NetworkSubject
from tunebench.testing.subject import CheckFailed, Subject
from tunebench.testing.tasks import KINDS, small_task

__all__ = [
    "CHECKS",
    "KINDS",
    "NETWORK_CHECKS",
    "CheckFailed",
    "NetworkSubject",
    "Result",
    "Subject",
    "TunerConformance",
    "run_checks",
    "small_task",
]
