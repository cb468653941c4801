"""What a call leaves behind: in the task it was given, and in the state of the whole process."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tunebench.tuner import LogitEdit, TuningTask


def tensors_of(output: Any) -> list[Tensor]:
    """The tensors of a network or a LogitEdit."""
    if isinstance(output, LogitEdit):
        return [output.weight, output.bias]
    return [*output.parameters(), *output.buffers()] if isinstance(output, nn.Module) else []


def task_state(task: TuningTask) -> dict[str, Any]:
    """Everything about a task that a tuner could change, by name."""
    found: dict[str, Any] = {name: v.clone() for name, v in vars(task).items() if isinstance(v, Tensor)}
    found |= {f"task.model {name}": value.clone() for name, value in task.model.state_dict().items()}
    for name, value in task.model.named_parameters():
        found[f"requires_grad of task.model {name}"] = value.requires_grad
        found[f"grad of task.model {name}"] = value.grad is None
    for name, part in task.model.named_modules():
        found[f"training mode of task.model {name}".strip()] = part.training
        found[f"hooks of task.model {name}".strip()] = len(part._forward_hooks)
    return found


def generator_states() -> dict[str, Any]:
    """The states of the global random generators."""
    return {"random": random.getstate(), "numpy": np.random.get_state(legacy=False), "torch": torch.get_rng_state()}


def torch_settings() -> dict[str, Any]:
    """The global settings of torch that a tuner could change."""
    return {
        "number of threads": torch.get_num_threads(),
        "default dtype": torch.get_default_dtype(),
        "gradient mode": torch.is_grad_enabled(),
        "deterministic mode": torch.are_deterministic_algorithms_enabled(),
    }


def warning_settings() -> dict[str, Any]:
    """The global warning filters."""
    return {"filters": list(warnings.filters), "showwarning": warnings.showwarning}


@contextmanager
def undone(seed: int) -> Iterator[None]:
    """Seed the global generators, with one thread as in a run; at the end put everything global back."""
    kept, numbers, before = random.getstate(), np.random.get_state(), torch_settings()
    with torch.random.fork_rng(), warnings.catch_warnings():
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            random.setstate(kept)
            np.random.set_state(numbers)
            torch.set_num_threads(before["number of threads"])
            torch.set_default_dtype(before["default dtype"])
            torch.set_grad_enabled(before["gradient mode"])
            torch.use_deterministic_algorithms(before["deterministic mode"])


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names whose values differ, exactly for tensors."""
    return sorted(name for name in before.keys() | after.keys() if not same(before.get(name), after.get(name)))


def same(a: Any, b: Any) -> bool:
    """Equality, exact for tensors and inside dicts."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)
