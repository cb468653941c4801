"""Moved to `tunebench.networks.training`; this path keeps working."""

from tunebench.networks.training import Loss, fine_tune, limited, minibatches, sgd

__all__ = ["Loss", "fine_tune", "limited", "minibatches", "sgd"]
