"""Knowledge distillation: a smaller network learns what the original says of every sample."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from tunebench import Compression, CompressionTask
from tunebench.compression import share
from tunebench_compression.thinning import LIBRARY, fresh, resized, thin
from tunebench_compression.training import lessons, taught


class Distill(Compression):
    """A student learns the original's probabilities at a temperature, and the labels (Hinton et al. 2015)."""

    name = "distill"
    default = "0.7"
    packages = (LIBRARY,)
    summary = "A student, any network by name or the original at a share of its widths, learns what the original says."

    def read(self, text: str) -> float | str:
        """A share of the widths, or the name of a network."""
        try:
            float(text)
        except ValueError:
            return text
        return share(text)

    def networks(self, value: float | str) -> tuple[str, ...]:
        """The student, where it is named."""
        return (value,) if isinstance(value, str) else ()

    def compress(self, task: CompressionTask, value: float | str) -> nn.Module:
        """The student, trained from new weights for twice the steps of other compressions."""
        student = student_of(task, value)
        sizes = [sum(p.numel() for p in model.parameters()) for model in (student, task.model)]
        if sizes[0] > sizes[1]:
            task.notes.append(f"the student has {sizes[0]:,} parameters, its teacher {sizes[1]:,}")
        return taught(student, task, lessons(task), 2.0)

    def rebuild(self, task: CompressionTask, value: float | str, state: Mapping[str, Tensor]) -> nn.Module:
        """The student, untrained."""
        return task.network(value) if isinstance(value, str) else resized(task.model, state)


def student_of(task: CompressionTask, value: float | str) -> nn.Module:
    """The untrained student: by name, or the original at a share of its widths."""
    if isinstance(value, str):
        return task.network(value)
    return fresh(thin(copy.deepcopy(task.model), task, 1 - value))
