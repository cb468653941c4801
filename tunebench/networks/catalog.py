"""Networks from elsewhere: of a user's Python file (``FILE.py:NAME``), or of torchvision (``torchvision:NAME``)."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import math
import types
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tunebench.datasets.torchvision_compat import import_torchvision
from tunebench.errors import ENDED, UsageError
from tunebench.naming import said, unknown_name
from tunebench.networks.spec import ModelSpec
from tunebench.source import PluginFile, contained

Shape = tuple[int, ...]
FACTS = "shape, classes (or num_classes, n_classes), channels (or in_channels), features (or in_features)"
"""What a class or function may ask for, by the names of its parameters."""
NO_AUXILIARY: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
"""Their second outputs are not logits of the same samples; and both ask to be told how to initialise."""
SMALL = 48
"""The longest side in pixels of images that go through a first convolution of stride 1; larger ones cost too much."""
LARGER = (32, 64, 96, 128, 224)
"""Sides to which images are enlarged for a network that takes no smaller ones."""


def from_file(name: str, file: PluginFile | None = None) -> ModelSpec:
    """The network ``FILE.py:NAME``: a class, function or instance of `torch.nn.Module`, or a `ModelSpec`.

    ``file`` is FILE.py where it has been read already. UsageError for a file that does not load, a name that is not
    in it, or an object that is no network.
    """
    path, _, wanted = name.rpartition(":") if ".py:" in name else (name, "", "")
    what = f"model {name!r}:"
    file = file or PluginFile.read(Path(path).expanduser(), what)
    try:
        with contained():
            module = file.load()
    except ENDED:
        raise
    except BaseException as exc:
        raise UsageError(f"{what} {path} does not load: {said(exc)}") from exc
    offered = networks_in(module)
    if not wanted:
        raise UsageError(f"{what} name what to take from it: {', '.join(f'{path}:{n}' for n in offered) or 'nothing'}")
    if not hasattr(module, wanted):
        raise unknown_name(f"network in {path}", wanted, offered)
    found = getattr(module, wanted)
    if isinstance(found, ModelSpec):
        return replace(found, name=name, code=file.digest, file=file)
    if isinstance(found, nn.Module):
        return ModelSpec(
            name, lambda _shape, _classes: copy.deepcopy(found), f"{file.digest} {weights_of(found)}", file
        )
    if not is_network(found):
        raise UsageError(
            f"{what} {wanted} is {type(found).__name__}; name a class, function or instance of torch.nn.Module, or a "
            f"ModelSpec{': ' + ', '.join(offered) if offered else ''}"
        )
    return ModelSpec(name, lambda shape, classes: called(found, what, shape, classes), file.digest, file)


def networks_in(module: types.ModuleType) -> list[str]:
    """Names of what ``module`` itself defines and that can be a network, sorted."""
    return sorted(
        name
        for name, item in vars(module).items()
        if not name.startswith("_")
        and (getattr(item, "__module__", None) == module.__name__ or isinstance(item, nn.Module | ModelSpec))
        and (isinstance(item, nn.Module | ModelSpec) or is_network(item))
    )


def is_network(item: Any) -> bool:
    """Whether an object is a class of networks, or something to call that may return one."""
    return issubclass(item, nn.Module) if isinstance(item, type) else callable(item)


def called(make: Callable[..., Any], what: str, shape: Shape, classes: int) -> nn.Module:
    """The network that a class or function makes, given those of `FACTS` that its parameters name."""
    facts: dict[str, Any] = dict.fromkeys(("classes", "num_classes", "n_classes"), classes)
    facts |= {"shape": shape, "input_shape": shape}
    facts |= dict.fromkeys(("channels", "in_channels"), shape[0])
    facts |= dict.fromkeys(("features", "in_features"), math.prod(shape))
    parameters = inspect.signature(make).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    unknown = [p.name for p in parameters if p.name not in facts and p.default is p.empty and p.kind not in variable]
    if unknown:
        raise UsageError(f"{what} nothing gives its parameter {unknown[0]!r} a value; known are {FACTS}; or a default")
    model = make(**{p.name: facts[p.name] for p in parameters if p.name in facts})
    if not isinstance(model, nn.Module):
        raise UsageError(f"{what} it returned {type(model).__name__}, not a torch.nn.Module")
    return model


def weights_of(model: nn.Module) -> str:
    """Hex sha256 of a network's parameters and buffers: training starts from them."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def torchvision_names() -> list[str]:
    """Names of torchvision's classifiers, sorted."""
    models = import_torchvision().models
    return sorted(models.list_models(module=models))


PLAIN = ":plain"


def from_torchvision(name: str) -> ModelSpec:
    """The network ``torchvision:NAME``, fitted to the input's channels and size and to the number of classes.

    ``torchvision:NAME:plain`` is the one that torchvision itself builds, which trained weights belong to.
    """
    wanted = name.removeprefix("torchvision:").removesuffix(PLAIN)
    if wanted not in torchvision_names():
        raise unknown_name("torchvision network", wanted, torchvision_names())
    version = f"torchvision {metadata.version('torchvision')}"
    if name.endswith(PLAIN):
        builder = import_torchvision().models.get_model_builder(wanted)
        options = NO_AUXILIARY.get(wanted, {})
        plain = lambda _shape, classes: builder(weights=None, num_classes=classes, **options)  # noqa: E731
        return ModelSpec(name, plain, version, recipe="light")
    return ModelSpec(name, lambda shape, classes: fitted(wanted, shape, classes), version, recipe="light")


def fitted(name: str, shape: Shape, classes: int) -> nn.Module:
    """A torchvision classifier for images ``shape``.

    Small images go through a stem of stride 1 where it has one that can, larger ones where nothing else will do; those
    that are still too small, or of a size that it does not take, are enlarged. What it takes is tried on the meta
    device.
    """
    if len(shape) != 3:
        raise UsageError(f"torchvision:{name} needs images (channels, height, width), not inputs of shape {shape}")
    side = max(shape[1:])
    stems = (side <= SMALL, side > SMALL) if side < LARGER[-1] else (False,)
    attempts = [(shape[1:], fine) for fine in stems]
    attempts += [((size, size), False) for size in LARGER if size > side] + [((LARGER[-1],) * 2, False)]
    for size, fine in attempts:
        build = functools.partial(raw, name, shape[0], size, classes, fine)
        if takes(build, (shape[0], *size)):
            network = build()
            return network if size == shape[1:] else nn.Sequential(nn.Upsample(size, mode="bilinear"), network)
    raise UsageError(f"torchvision:{name} takes no images of {shape[1]} x {shape[2]}, enlarged neither")


def takes(build: Callable[[], nn.Module], shape: Shape) -> bool:
    """Whether the network that ``build`` makes maps two inputs to two rows of numbers; tried without any number."""
    try:
        try:
            with torch.device("meta"):
                model = build()
        except RuntimeError:  # some compute their widths with tensors
            model = build()
        device = next(model.parameters()).device
        with torch.no_grad():
            out = model.eval()(torch.zeros(2, *shape, device=device))
    except (RuntimeError, ValueError, AssertionError, UnfitStem):
        return False
    return isinstance(out, torch.Tensor) and out.dim() == 2


class UnfitStem(Exception):
    """The first convolution cuts the image into patches, or has a stride of 1 already."""


def raw(name: str, channels: int, size: tuple[int, ...], classes: int, fine: bool) -> nn.Module:
    """The network for images (channels, *size); ``fine``: its first convolution moves in steps of 1."""
    builder = import_torchvision().models.get_model_builder(name)
    options = dict(NO_AUXILIARY.get(name, {}))
    if name.startswith("vit_"):
        options["image_size"] = size[0]
    elif name.startswith("maxvit"):
        options["input_size"] = size
    model: nn.Module = builder(weights=None, num_classes=classes, **options)
    owner, key, stem = first_convolution(model)
    stride = stem.stride
    if fine:
        if stem.kernel_size[0] <= stem.stride[0] or stem.stride == (1, 1):
            raise UnfitStem
        stride = (1, 1)
    if stem.in_channels != channels or stride != stem.stride:
        padding: Any = tuple(k // 2 for k in stem.kernel_size) if fine else stem.padding
        options = {"dilation": stem.dilation, "groups": stem.groups, "bias": stem.bias is not None}
        sizes: Any = stem.kernel_size, stride, padding
        setattr(owner, key, nn.Conv2d(channels, stem.out_channels, *sizes, **options))
    return model


def first_convolution(model: nn.Module) -> tuple[nn.Module, str, nn.Conv2d]:
    """Who holds the first convolution of a network, under which name, and the convolution."""
    path, stem = next((path, part) for path, part in model.named_modules() if isinstance(part, nn.Conv2d))
    owner, _, key = path.rpartition(".")
    return model.get_submodule(owner), key, stem
