"""Networks in files, for `tunebench certify`: a whole program (``.pt2``), or a state dict and its network's code."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tunebench.errors import InvalidOutput, UsageError
from tunebench.naming import said
from tunebench.networks.activations import batches, forward
from tunebench.networks.probe import built
from tunebench.own.door import require_regular
from tunebench.own.network import outputs_of, own_network
from tunebench.own.promise import Ints

ROWS = 256
Network = Callable[[Tensor], Tensor]


def predictions(file: Path, model: str | None, x: np.ndarray, classes: int | None) -> tuple[Ints, int]:
    """Predicted classes (N,) of the network in ``file`` for x (N, *shape), and its number of outputs.

    ``model`` is FILE.py:NAME or torchvision:NAME for a state dict. UsageError for a file that holds no network.
    """
    inputs = torch.from_numpy(np.ascontiguousarray(x)).float()
    logits = program_logits(file, inputs) if file.suffix == ".pt2" else state_logits(file, model, inputs, classes)
    if logits.dim() != 2 or len(logits) != len(inputs) or not logits.shape[1]:
        raise InvalidOutput(f"{file}: gives {tuple(logits.shape)} for {len(inputs)} samples; logits (N, C) are needed")
    if not bool(torch.isfinite(logits).all()):
        raise InvalidOutput(f"{file}: gives NaN or infinite logits for these samples; look at its weights")
    return logits.argmax(1).numpy().astype(np.int64), logits.shape[1]


def program_logits(file: Path, x: Tensor) -> Tensor:
    """Logits of a ``torch.export`` program, which is code: torch unpickles and evaluates what such a file holds."""
    require_regular(file, str(file))
    try:
        with warnings.catch_warnings():  # torch's words about files that are then refused
            warnings.simplefilter("ignore")
            program = torch.export.load(file).module()
        with torch.no_grad():
            return torch.cat([program(rows).float() for rows in batches(program, x, ROWS)])
    except OSError as exc:
        raise UsageError(f"{file}: {exc.strerror or exc}") from exc
    except Exception as exc:
        raise UsageError(f"{file} does not run on these samples: {said(exc)}") from exc


def state_logits(file: Path, model: str | None, x: Tensor, classes: int | None) -> Tensor:
    """Logits of a state dict in the network that ``model`` names."""
    if model is None:
        raise UsageError(f"{file} holds numbers alone; name their network with --model FILE.py:NAME, or give a .pt2")
    shape = tuple(x.shape[1:])
    outputs = classes or outputs_of(model, file, shape)
    return forward(built(own_network(model, file, shape, outputs).spec, shape, outputs), x)
