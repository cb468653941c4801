# ruff: noqa: D102  (what a network does wrong is told by its class)
"""Networks with one deliberate fault each, and the check that has to find it."""

import itertools

import torch
from torch import nn

COUNT = itertools.count()


class Sound(nn.Module):
    """A small network for digits; nothing is wrong with it."""

    def __init__(self, shape=(1, 8, 8), classes=10):
        super().__init__()
        self.body, self.head = nn.Linear(64, 12), nn.Linear(12, classes)

    def features(self, x):
        """Hidden activations (N, 12)."""
        return torch.relu(self.body(x.flatten(1)))

    def forward(self, x):
        """Logits (N, C)."""
        return self.head(self.features(x))


class ReturnsADict(Sound):
    """The logits are in a dict."""

    def forward(self, x):
        return {"logits": super().forward(x)}


class ReturnsATuple(Sound):
    """The logits come with something else."""

    def forward(self, x):
        return super().forward(x), x


class ElevenClasses(Sound):
    """One class too many."""

    def __init__(self, shape, classes):
        super().__init__(shape, classes + 1)


class TwoInputs(Sound):
    """Wants a mask too."""

    def forward(self, x, mask):
        return super().forward(x * mask)


class GivesNan(Sound):
    """The logits are not finite."""

    def forward(self, x):
        return super().forward(x) * torch.nan


class ColoursOnly(nn.Module):
    """Its first layer has three input channels."""

    def __init__(self, shape, classes):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))


class LargeImagesOnly(Sound):
    """Needs 96 x 96 inputs."""

    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.body = nn.Linear(96 * 96, 12)


class OwnGenerator(Sound):
    """Draws its weights from a generator that nobody seeds."""

    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        generator = torch.Generator().manual_seed(next(COUNT))
        with torch.no_grad():
            self.body.weight.normal_(0, 0.1, generator=generator)


class AddressInRepr(Sound):
    """Its repr() holds an object address."""

    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.token = object()

    def extra_repr(self):
        return str(self.token)


class AlwaysDrops(Sound):
    """Dropout in eval mode too."""

    def features(self, x):
        return torch.dropout(super().features(x), 0.5, True)


class BatchMean(Sound):
    """Centres features by their batch."""

    def features(self, x):
        features = super().features(x)
        return features - features.mean(0)


class WritesToItsInput(Sound):
    """Scales the images in place."""

    def forward(self, x):
        return super().forward(x.mul_(0.5))


class CountsItsCalls(Sound):
    """A buffer that every forward changes."""

    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class AsManyCallsAsRows(Sound):
    """Applies its activation function row by row."""

    def features(self, x):
        return torch.stack([torch.relu(row) for row in self.body(x.flatten(1))])


class LooseState(Sound):
    """Part of its state is no buffer."""

    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.function = lambda x: torch.relu(x)

    def features(self, x):
        return self.function(self.body(x.flatten(1)))


class Frozen(Sound):
    """No parameter takes part in training."""

    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


BROKEN = [
    ("built", ReturnsADict),
    ("built", ReturnsATuple),
    ("built", ElevenClasses),
    ("built", TwoInputs),
    ("built", GivesNan),
    ("built", ColoursOnly),
    ("built", LargeImagesOnly),
    ("repeatable", OwnGenerator),
    ("repeatable", AddressInRepr),
    ("deterministic", AlwaysDrops),
    ("batch-size", BatchMean),
    ("unchanged", WritesToItsInput),
    ("unchanged", CountsItsCalls),
    ("units", AsManyCallsAsRows),
    ("saved", LooseState),
    ("trains", Frozen),
]
