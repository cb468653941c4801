"""Training for plugins, and the layer that it may be about; both live in `tunebench.networks`, and this path stays."""

from tunebench.networks.averaging import average
from tunebench.networks.edits import output_layer_of
from tunebench.networks.losses import CrossEntropy, Loss
from tunebench.networks.training import Optimiser, fine_tune, limited, minibatches, sgd, train

__all__ = [
    "CrossEntropy",
    "Loss",
    "Optimiser",
    "average",
    "fine_tune",
    "limited",
    "minibatches",
    "output_layer_of",
    "sgd",
    "train",
]
