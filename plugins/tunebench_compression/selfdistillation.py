"""Self-distillation: light classifiers at a network's depths learn from its deepest one, and one of them stays."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunebench import Compression, CompressionTask, Inapplicable
from tunebench.training import minibatches
from tunebench_compression.parametrizations import weighted_layers
from tunebench_compression.training import ALPHA, TEMPERATURE, run, softened

EXITS, GROWTH, WIDTH, LARGE, GROUPS, SQUEEZE = 3, 4, 64, 8, 4, 8
"""Classifiers at most; how many times wider than their features they are, and how wide at most for that; the side of
features that they halve; groups of their pointwise convolution; reduction of their attention.
"""
LOSS, SAMPLES = 0.02, 5000
"""Accuracy that a shallow classifier may lack of the deepest one's, on so many training samples, to be preferred."""
LEARNING_RATE, SHARES = 5e-4, 2.0
"""The largest of its schedule, and times the steps of other compressions. A quarter of their rate, since the network
is trained already and must not forget while its classifiers learn.
"""


class SelfDistill(Compression):
    """Shallow classifiers with attention learn from the deepest; one replaces all behind it (Zhang et al. 2019)."""

    name = "selfdistill"
    summary = (
        "Light classifiers at its depths, grouped and depthwise with attention, learn from the deepest; one stays."
    )

    def compress(self, task: CompressionTask, value: None) -> nn.Module:
        """All are trained together; the cheapest of those that are as good as the deepest, or else the best, stays."""
        model = task.model
        candidates = exits(model, task.x[:2])
        joint = Joint(model, candidates, {depth: head(x.shape, task.classes) for depth, x in candidates.items()})
        allowed = [depth for depth in candidates if task.flops(joint.upto(depth)) < task.flops(model)]
        if not allowed:
            raise Inapplicable("the network has no depth at which a classifier would leave fewer operations")
        steps = round(SHARES * task.steps)
        batches = minibatches(task.x, task.y, steps, task.seed)
        run(joint, batches, joint.loss, steps, task.seed, LEARNING_RATE)
        with torch.no_grad():
            said = torch.cat([joint(x) for x in task.x[:SAMPLES].split(512)]).view(
                -1, 1 + len(candidates), task.classes
            )
        right = (said.argmax(2) == task.y[:SAMPLES, None]).double().mean(0).tolist()
        scores = dict(zip(candidates, right[1:], strict=True))
        good = [depth for depth in allowed if scores[depth] >= right[0] - LOSS]
        return joint.upto(good[0] if good else max(allowed, key=lambda depth: scores[depth]))

    def rebuild(self, task: CompressionTask, value: None, state: Mapping[str, Tensor]) -> nn.Module:
        """The part up to the classifier, whose name says how deep it is, and a classifier."""
        depth = next(int(name.partition(".")[0].removeprefix("exit-")) for name in state if name.startswith("exit-"))
        body = nn.Sequential(*itertools.islice(chain(task.model), depth))
        return shallow(body, head(features(body, task.x.new_zeros(2, *task.x.shape[1:])).shape, task.classes), depth)


class Joint(nn.Module):
    """A network with all of its classifiers."""

    def __init__(self, model: nn.Module, depths: Iterable[int], heads: Mapping[int, nn.Module]) -> None:
        super().__init__()
        self.model, self.depths = model, tuple(depths)
        self.heads = nn.ModuleList(heads[depth] for depth in self.depths)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the deepest and of all others, first to last, side by side, (N, (1 + E) C)."""
        deepest, seen = watched(self.model, self.depths, x)
        return torch.cat(
            [deepest, *(part(seen[depth]) for depth, part in zip(self.depths, self.heads, strict=True))], 1
        )

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """The labels for all, and what the deepest says for the others."""
        deepest, *others = logits.chunk(1 + len(self.depths), 1)
        total = F.cross_entropy(deepest, y)
        for other in others:
            hard, soft = F.cross_entropy(other, y), softened(other, deepest.detach(), TEMPERATURE)
            total = total + (1 - ALPHA) * hard + ALPHA * soft
        return total

    def upto(self, depth: int) -> nn.Module:
        """The network that ends at the classifier there, in eval mode."""
        body = nn.Sequential(*itertools.islice(chain(self.model), depth))
        return shallow(body, self.heads[self.depths.index(depth)], depth).eval()


class Attention(nn.Module):
    """A factor for every channel, from the means of all (squeeze and excitation, Hu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        few = max(4, channels // SQUEEZE)
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, few, 1), nn.ReLU(), nn.Conv2d(few, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), each channel times its factor."""
        return x * self.factors(x)


def head(shape: torch.Size, classes: int) -> nn.Sequential:
    """A classifier of features (N, C, H, W) or (N, C): depthwise and grouped convolutions, attention, Linear."""
    channels, side = shape[1], min(shape[2:], default=1)
    kernel, stride = 3 if side >= 3 else 1, 2 if side >= LARGE else 1
    width = max(channels, min(GROWTH * channels, WIDTH))
    groups = math.gcd(channels, width, GROUPS)
    places = math.prod(-(-size // stride) for size in shape[2:])
    return nn.Sequential(
        *([nn.Unflatten(1, (channels, 1, 1))] if len(shape) == 2 else []),
        nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.Conv2d(channels, width, 1, groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        Attention(width),
        nn.Flatten(),
        nn.Linear(width * places, classes),
    )


def shallow(body: nn.Module, classifier: nn.Module, depth: int) -> nn.Sequential:
    """The first ``depth`` parts of a network and a classifier."""
    return nn.Sequential(OrderedDict({"body": body, f"exit-{depth}": classifier}))


def chain(part: nn.Module) -> list[nn.Module]:
    """The parts of a network in their order, sequences taken apart."""
    return [inner for child in part.children() for inner in (chain(child) if type(child) is nn.Sequential else [child])]


def exits(model: nn.Module, x: Tensor) -> dict[int, Tensor]:
    """Where classifiers may stand: how many parts come before, and the features there of x (N, *shape).

    That is before a part with weights, where the parts before it, in turn, give what they give in the network.
    """
    parts = chain(model)
    weighted = [number for number, part in enumerate(parts) if weighted_layers(part)]
    depths = sorted({depth_before(parts, number) for number in weighted[1:-1]})
    with torch.no_grad():
        _, seen = watched(model, depths, x)
        found = {depth: seen[depth] for depth in depths if depth in seen and follows(parts[:depth], x, seen[depth])}
    step = -(-len(found) // EXITS)
    return dict(list(found.items())[:: max(1, step)])


def depth_before(parts: list[nn.Module], number: int) -> int:
    """How many parts come before one, without a Flatten right before it."""
    return number - 1 if isinstance(parts[number - 1], nn.Flatten) else number


def follows(parts: list[nn.Module], x: Tensor, features: Tensor) -> bool:
    """Whether ``parts``, one after the other, make ``features`` of ``x``."""
    try:
        return torch.equal(nn.Sequential(*parts)(x), features)
    except RuntimeError:
        return False


def features(body: nn.Module, x: Tensor) -> Tensor:
    """What a body makes of x."""
    with torch.no_grad():
        return body.eval()(x)


def watched(model: nn.Module, depths: Iterable[int], x: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
    """Logits of ``model``, and what the part before each of ``depths`` gives."""
    parts, seen = chain(model), {}
    hooks = [
        parts[depth - 1].register_forward_hook(lambda _part, _given, out, depth=depth: seen.update({depth: out}))
        for depth in depths
    ]
    try:
        return model(x), seen
    finally:
        for hook in hooks:
            hook.remove()
