"""Training for plugins; it lives in `tunebench.networks`, and this path keeps working."""

from tunebench.networks.losses import CrossEntropy, Loss
from tunebench.networks.training import Optimiser, fine_tune, limited, minibatches, sgd, train

__all__ = ["CrossEntropy", "Loss", "Optimiser", "fine_tune", "limited", "minibatches", "sgd", "train"]
