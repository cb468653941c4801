"""Our own tuner: what a fine-tuner of today would use, on images that are new (docs/methods.md, section 4)."""

from tunebench import Tuner, hookimpl
from tunebench_lift.lift import Lift


@hookimpl
def tunebench_tuners() -> list[Tuner]:
    """The one tuner of this package."""
    return [Lift()]
