"""What a key says of a network: enough to tell it from every other, and the same in every process."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from torch import nn

from tunebench.networks.spec import ModelSpec

STEP = " + "
"""Between a network and the compression that it went through."""


def architecture_of(spec: ModelSpec, model: nn.Module) -> str:
    """A network in a key: bundled ones by their layers, others by a digest of their code and structure.

    The ``repr`` of somebody's module may hold an address, a date or the order of a set, and may lack what matters.
    One that is made from another, whose uncompressed form ``model`` is, adds a digest of how (see `parent_of`).
    """
    if spec.made is not None:
        return f"{architecture_of(spec.made.parent, model)}{STEP}{spec.made.digest}"
    if spec.code is None:
        return repr(model)
    text = json.dumps([spec.code, structure(model)], sort_keys=True)
    return f"{type(model).__name__} {hashlib.sha256(text.encode()).hexdigest()}"


def parent_of(architecture: str) -> str:
    """What a key says of the network that another was made from."""
    return architecture.rpartition(STEP)[0]


def structure(model: nn.Module) -> list[Any]:
    """Kind, plain settings, and names, shapes and types of the own tensors of every part, as JSON values."""
    return [
        [
            path,
            f"{type(part).__module__.rpartition('.')[2]}.{type(part).__qualname__}",
            {name: plain(value) for name, value in vars(part).items() if not name.startswith("_")},
            [
                [name, str(tensor.dtype), list(tensor.shape)]
                for name, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False))
            ],
        ]
        for path, part in model.named_modules()
    ]


def plain(value: Any) -> Any:
    """A setting as a JSON value: numbers, texts and lists of them; of a function its name, of all else its type."""
    if isinstance(value, bool | int | float | str | None):
        return repr(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return getattr(value, "__qualname__", type(value).__qualname__)
