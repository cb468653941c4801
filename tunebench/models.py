"""Moved to `tunebench.networks.models`; this path keeps working."""

from tunebench.networks.models import ModelSpec, find_model, mlp

__all__ = ["ModelSpec", "find_model", "mlp"]
