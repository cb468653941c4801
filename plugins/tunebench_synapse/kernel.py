"""The compiled path (stub)."""

from tunebench_synapse.state import absorb as absorb


def available() -> bool:
    """Whether the compiled path can run."""
    return False
