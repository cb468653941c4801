"""The same two tuners under two names each: whatever separates twins is luck.

A cell's own randomness comes from its names, so twins share originals and test images but not the tuner's seed.
"""

import tunebench_finetune
import tunebench_synapse

from tunebench import Tuner, hookimpl

TWINNED = ("random-synapses", "weighted-finetune")


@hookimpl
def tunebench_tuners() -> list[Tuner]:
    """Two renamed copies of each tuner in `TWINNED`."""
    twins = []
    for suffix in ("a", "b"):
        for tuner in [*tunebench_finetune.tunebench_tuners(), *tunebench_synapse.tunebench_tuners()]:
            if tuner.name in TWINNED:
                tuner.name = f"{tuner.name}-{suffix}"
                twins.append(tuner)
    return twins
