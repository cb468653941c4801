"""What every network has to keep to, one function per rule; each failure says what is wrong and what to do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property, partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tunebench.datasets import Samples
from tunebench.errors import UsageError
from tunebench.networks.activations import activations, forward
from tunebench.networks.cost import cost_of_module
from tunebench.networks.edits import agree, edited_logits, fold
from tunebench.networks.models import ModelSpec
from tunebench.networks.probe import built
from tunebench.networks.sites import Anatomy, survey
from tunebench.networks.training import minibatches, sgd
from tunebench.testing.observe import changed, generator_states, undone
from tunebench.testing.returned import reloaded, told
from tunebench.testing.subject import Blocked, CheckFailed
from tunebench.tuner import LogitEdit

ROWS = 24
STEPS = 12


class NetworkSubject:
    """A network under test, built for the shape and the classes of ``data``."""

    def __init__(self, spec: ModelSpec, data: Samples) -> None:
        self.spec, self.data = spec, data
        self.failed: list[str] = []
        """Names of the checks that it has failed."""
        self.classes = int(data.y.max()) + 1

    @property
    def x(self) -> Tensor:
        """A few samples (N, *shape), a copy each time: a network may write to them."""
        return self.data.x[:ROWS].clone()

    def build(self, seed: int = 0) -> nn.Module:
        """The network with the initialisation of ``seed``, in eval mode."""
        with undone(seed):
            return built(self.spec, self.x.shape[1:], self.classes).eval()

    @cached_property
    def first(self) -> nn.Module | Exception:
        """A built network that no check changes, or what building it raised."""
        try:
            return self.build()
        except Exception as exc:
            return exc

    @property
    def model(self) -> nn.Module:
        """The built network; `Blocked` where there is none."""
        if isinstance(self.first, Exception):
            raise Blocked("see built")
        return self.first

    @cached_property
    def anatomy(self) -> Anatomy:
        """Its sites and output layer."""
        return survey(self.model, self.x.shape[1:])


def check_built(subject: NetworkSubject) -> None:
    """It is built for the data and gives finite logits (N, C)."""
    if isinstance(subject.first, UsageError):
        raise CheckFailed(str(subject.first))
    if isinstance(subject.first, Exception):
        raise CheckFailed(f"building it raised {told(subject.first)}; mend it")


def check_repeatable(subject: NetworkSubject) -> None:
    """Equal seeds build equal weights, and its printed form holds no address."""
    model, again = subject.model, subject.build()
    if changed(model.state_dict(), again.state_dict()):
        raise CheckFailed("two builds from one torch.manual_seed differ; draw initial weights from torch's generator")
    if repr(model) != repr(again):
        raise CheckFailed("its repr() differs between two builds; give its modules a repr without object addresses")


def check_deterministic(subject: NetworkSubject) -> None:
    """In eval mode a forward gives the same logits every time and draws no random numbers."""
    model = subject.model
    with undone(seed=1):
        before = generator_states()
        first, second = forward(model, subject.x), forward(model, subject.x)
        if changed(before, generator_states()):
            raise CheckFailed("draws random numbers in eval mode; do so only if self.training")
    if not torch.equal(first, second):
        raise CheckFailed("two forwards in eval mode differ; keep no state between them")


def check_batch_size(subject: NetworkSubject) -> None:
    """A sample's logits do not depend on the samples beside it."""
    together = forward(subject.model, subject.x)
    for size in (1, 7):
        try:
            apart = forward(subject.model, subject.x, size)
        except Exception as exc:
            raise CheckFailed(f"fails on batches of {size} ({told(exc)}); accept any size") from exc
        if not agree(apart, together, subject.model):
            raise CheckFailed("a sample's logits depend on its batch; use no batch statistics in eval mode")


def check_unchanged(subject: NetworkSubject) -> None:
    """A forward in eval mode changes neither its input nor its own state."""
    model, x = subject.model, subject.x.clone()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    forward(model, x)
    if not torch.equal(x, subject.x):
        raise CheckFailed("forward() writes to its input; use no in-place operation on it")
    if changed(before, model.state_dict()):
        raise CheckFailed("a forward in eval mode changes its buffers; update them only if self.training")


def check_units(subject: NetworkSubject) -> None:
    """Its hidden units are finite and the same for every batch size."""
    try:
        seen, apart = activations(subject.model, subject.x), activations(subject.model, subject.x, 5)
    except UsageError as exc:
        raise CheckFailed(f"{exc}; keep the order of its calls fixed") from exc
    if not bool(torch.isfinite(seen.hidden).all()):
        raise CheckFailed("a hidden unit is NaN or infinite on real samples; look at its scale")
    pairs = [(seen.logits, forward(subject.model, subject.x))]
    if seen.hidden.numel():
        pairs.append((apart.hidden, seen.hidden))
    if not all(agree(found, expected, subject.model) for found, expected in pairs):
        raise CheckFailed("hidden units depend on the batch; use no batch statistics in eval mode")


def check_saved(subject: NetworkSubject) -> None:
    """Copied, and saved and loaded through safetensors, it gives the same logits."""
    expected = forward(subject.model, subject.x)
    for name, make in (("copied", copy.deepcopy), ("saved and loaded", reloaded)):
        try:
            found = forward(make(subject.model), subject.x)
        except Exception as exc:
            raise CheckFailed(f"cannot be {name} ({told(exc)}); define its classes at the top of a module") from exc
        if not torch.equal(found, expected):
            raise CheckFailed(f"{name}, it gives other logits; keep all of its state in state_dict()")


def check_trains(subject: NetworkSubject) -> None:
    """Training steps change it and leave it finite, with a last batch of one too."""
    model = copy.deepcopy(subject.model)
    before = {name: value.clone() for name, value in model.named_parameters()}
    x, y = subject.data.x[:129], subject.data.y[:129]
    try:
        with undone(seed=2):
            sgd(model, minibatches(x, y, STEPS, seed=0), cross_entropy, 0.01)
    except Exception as exc:
        raise CheckFailed(f"cannot be trained ({told(exc)}); its parameters have to take gradients") from exc
    if before and not changed(before, dict(model.named_parameters())):
        raise CheckFailed("training changes nothing; let its parameters take part in forward()")
    if not bool(torch.isfinite(forward(model, subject.x)).all()):
        raise CheckFailed(f"{STEPS} steps of SGD at 0.01 make it NaN or infinite; look at its initialisation")


def check_folded(subject: NetworkSubject, part: str) -> None:
    """Folded into the network, an edit of one part gives the logits of its definition."""
    anatomy, model = subject.anatomy, subject.model
    edit = LogitEdit(torch.zeros(subject.classes, anatomy.hidden), torch.zeros(subject.classes))
    split = anatomy.hidden - anatomy.last
    if part == "bias":
        edit.bias[1] = 0.5
    units = range(split) if part == "early" else range(split, anatomy.hidden) if part == "last" else ()
    for unit in units[:3]:
        edit.weight[1, unit] = 0.25
    seen = activations(model, subject.x)
    folded = fold(model, edit, anatomy)
    if not agree(forward(folded, subject.x), edited_logits(edit, seen.hidden, seen.logits), model):
        raise CheckFailed("an edited copy gives other logits than by definition; the output layer may be used twice")
    own = model.state_dict()
    if part != "early" and anatomy.output is not None and own.keys() != folded.state_dict().keys():
        if part == "bias" and anatomy.output.bias is None:
            return
        raise CheckFailed("an edit of its output layer gives other state_dict keys; let state_dict() be torch's own")


def check_cost(subject: NetworkSubject) -> None:
    """Its parameters and FLOPs can be counted."""
    model = subject.model
    try:
        cost = cost_of_module(model, subject.x[:1])
    except Exception as exc:
        raise CheckFailed(f"its FLOPs cannot be counted ({told(exc)}); accept a batch of one") from exc
    if cost.params and not cost.flops:
        raise CheckFailed("has parameters but no FLOPs that we know of; use torch's own functions")


NETWORK_CHECKS: dict[str, Callable[[NetworkSubject], None]] = {
    "built": check_built,
    "repeatable": check_repeatable,
    "unchanged": check_unchanged,
    "deterministic": check_deterministic,
    "batch-size": check_batch_size,
    "units": check_units,
    "saved": check_saved,
    "trains": check_trains,
    **{f"folded-{part}": partial(check_folded, part=part) for part in ("bias", "last", "early")},
    "cost": check_cost,
}


def seen_by_tuners(subject: NetworkSubject) -> str:
    """What tuners will find in the network, in one line."""
    anatomy = subject.anatomy
    sites = f"{anatomy.hidden} hidden units from {len(anatomy.sites)} sites"
    if anatomy.output is None:
        return f"{sites}; no output layer that can be edited, so every result is a wrapper"
    return f"{sites}, {anatomy.last} of them read by the output layer {anatomy.output.weight}"
