"""From a trained original to the `TuningTask` that a tuner sees; the test split comes through another door."""

from __future__ import annotations

import torch
from torch import Tensor

from tunebench.datasets import Samples
from tunebench.errors import DataError
from tunebench.naming import seed_of
from tunebench.networks.models import ModelSpec
from tunebench.networks.originals import OriginalKey, load_original, load_split
from tunebench.tuner import TuningTask

TENSORS = (
    "x_train", "y_train", "x_valid", "y_valid", "hidden_train", "hidden_valid", "logits_train", "logits_valid",
    "layer_of",
)  # fmt: skip


def load_task(
    key: OriginalKey, spec: ModelSpec, targets: tuple[int, ...], tuner: str, device: torch.device
) -> TuningTask:
    """The task of one cell. Where the protocol is not ``holdout``, x_valid and y_valid *are* the test split."""
    model, tables = load_original(key, spec)
    data = load_split(key.data, "train")
    if key.protocol != "holdout":
        x_train, y_train = data.x, data.y
        seen = load_split(key.data, "test")
        x_valid, y_valid = seen.x, seen.y
    else:
        x_train, y_train = data.x[tables["train_rows"]], data.y[tables["train_rows"]]
        x_valid, y_valid = data.x[tables["valid_rows"]], data.y[tables["valid_rows"]]
    require_targets(y_valid, targets, "validation")
    recipe = key.recipe
    return TuningTask(
        model=model.to(device),
        targets=targets,
        target=targets[0],
        classes=tables["logits_train"].shape[1],
        x_train=x_train.to(device),
        y_train=y_train.to(device),
        x_valid=x_valid.to(device),
        y_valid=y_valid.to(device),
        hidden_train=tables["hidden_train"].to(device),
        hidden_valid=tables["hidden_valid"].to(device),
        logits_train=tables["logits_train"].to(device),
        logits_valid=tables["logits_valid"].to(device),
        layer_of=tables["layer_of"].to(device),
        seed=task_seed(key, targets, tuner),
        device=device,
        learning_rate=recipe.lr,
        max_hidden=key.max_hidden,
    )


def task_seed(key: OriginalKey, targets: tuple[int, ...], tuner: str) -> int:
    """What every random choice of a tuner starts from: the names of its cell, never the order of work."""
    return seed_of(key.dataset, key.model, key.recipe.name, targets, tuner, key.seed)


def load_test(key: OriginalKey, targets: tuple[int, ...], device: torch.device) -> Samples:
    """The test split; to be called only after selection is final."""
    test = load_split(key.data, "test")
    require_targets(test.y, targets, "test")
    return Samples(test.x.to(device), test.y.to(device))


def require_targets(labels: Tensor, targets: tuple[int, ...], split: str) -> None:
    """DataError unless every target class has a sample in ``labels``."""
    for target in targets:
        if not bool((labels == target).any()):
            counts = torch.bincount(labels).tolist()
            raise DataError(f"target class {target} has no sample in the {split} split; samples per class: {counts}")


def fingerprint(task: TuningTask) -> tuple[int, ...]:
    """Changes when a tensor of ``task`` or a parameter of its model is written to; one read of each, no copy.

    Sums of bits: what only changes places, or happens to keep the sum, is not seen.
    """
    tensors = [getattr(task, name) for name in TENSORS] + list(task.model.state_dict().values())
    return tuple(bits_sum(t.detach()) for t in tensors)


def bits_sum(tensor: Tensor) -> int:
    """Sum of a tensor's bit patterns."""
    kind = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return int(tensor.contiguous().view(kind).sum(dtype=torch.int64))
