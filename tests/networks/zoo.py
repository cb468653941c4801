"""Networks of every kind that people bring, small enough for a test; `ZOO` builds each for a shape and classes."""

import torch
import torch.nn.functional as F
from torch import nn

from tunebench.datasets.torchvision_compat import import_torchvision
from tunebench.networks.models import ModelSpec, find_model


class FunctionalNet(nn.Module):
    """Convolutions whose activation functions are functions and methods, no modules."""

    def __init__(self, channels, classes):
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, 6, 3, padding=1), nn.Conv2d(6, 10, 3, stride=2)
        self.body, self.head = nn.Linear(10, 16), nn.Linear(16, classes)

    def forward(self, x):
        """Logits (N, C)."""
        x = F.relu(self.first(x))
        x = self.second(x).relu_()
        x = torch.tanh(self.body(x.mean((2, 3))))
        return self.head(x)


class LeNet(nn.Module):
    """Two convolutions with pooling, two hidden layers."""

    def __init__(self, channels, side, classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Linear(16 * (side // 4) ** 2, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)
        )

    def forward(self, x):
        """Logits (N, C)."""
        return self.classifier(self.features(x).flatten(1))


class RowLstm(nn.Module):
    """An LSTM over the rows of an image; its logits are its last hidden state, so that it has no output layer."""

    def __init__(self, width, classes):
        super().__init__()
        self.lstm = nn.LSTM(width, classes, batch_first=True)

    def forward(self, x):
        """Logits (N, C)."""
        return 4 * self.lstm(x.flatten(1, 2))[0][:, -1]


def adapted(name, channels, classes):
    """A torchvision network without weights, its first convolution for ``channels``."""
    import_torchvision()
    from torchvision.models import get_model

    model = get_model(name, weights=None, num_classes=classes)
    first = next(part for part in model.named_modules() if isinstance(part[1], nn.Conv2d))
    parent, _, child = first[0].rpartition(".")
    old = first[1]
    new = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=old.bias is not None)
    setattr(model.get_submodule(parent), child, new)
    return model


def tiny_vit(channels, side, classes):
    """torchvision's vision transformer with two small blocks."""
    import_torchvision()
    from torchvision.models import VisionTransformer

    model = VisionTransformer(side, max(1, side // 4), 2, 2, 16, 32, num_classes=classes)
    model.conv_proj = nn.Conv2d(channels, 16, max(1, side // 4), max(1, side // 4))
    nn.init.normal_(model.heads.head.weight, std=0.1)  # torchvision starts it at zero
    return model


def resized(build, side):
    """``build`` behind a layer that brings small images to ``side``, as a user would put there."""
    return lambda shape, classes: nn.Sequential(nn.Upsample(side), build(shape, classes))


TORCHVISION = (
    "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1", "resnet18", "efficientnet_b0",
    "convnext_tiny",
)  # fmt: skip
BUILD = {
    "model1": find_model("model1").build,
    "model2": find_model("model2").build,
    "functional-cnn": lambda shape, classes: FunctionalNet(shape[0], classes),
    "lenet": lambda shape, classes: LeNet(shape[0], shape[1], classes),
    **{name: resized(lambda shape, classes, name=name: adapted(name, shape[0], classes), 32) for name in TORCHVISION},
    "vit": lambda shape, classes: tiny_vit(shape[0], shape[1], classes),
    "lstm": lambda shape, classes: RowLstm(shape[0] * shape[2], classes),
}
ZOO = {name: ModelSpec(f"zoo-{name}", build) for name, build in BUILD.items()}
