"""A tuner under test and the trials that its checks share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from optuna.distributions import BaseDistribution
from torch import Tensor, nn

from tunebench.grid.finishing import finished
from tunebench.networks.activations import forward
from tunebench.selection.outputs import check_logits
from tunebench.selection.search import checked
from tunebench.selection.selector import Candidate
from tunebench.selection.tradeoff import Score
from tunebench.testing.observe import generator_states, task_state, tensors_of, torch_settings, undone, warning_settings
from tunebench.testing.points import corners, middle
from tunebench.testing.tasks import small_task
from tunebench.tuner import Tuner, TuningTask


class CheckFailed(AssertionError):
    """What a tuner does wrong, and what its author should do."""


class Blocked(Exception):
    """The check can say nothing, because the tuner fails another one already."""


@dataclass
class Trial:
    """One call of `Tuner.tune`; ``output`` is whatever came back, unchecked."""

    task: TuningTask
    params: Mapping[str, Any]
    output: Any
    prepared: Any
    training: bool
    """Whether a part of the returned network was in training mode."""
    tensors: list[Tensor]
    """Copies of the output's tensors as they came back."""


@dataclass
class Traces:
    """What one call of `Tuner.prepare` and `Tuner.tune` changed, as (before, after)."""

    task: tuple[dict[str, Any], dict[str, Any]]
    generators: tuple[dict[str, Any], dict[str, Any]]
    settings: tuple[dict[str, Any], dict[str, Any]]
    warnings: tuple[dict[str, Any], dict[str, Any]]


class Subject:
    """A tuner under test; runs on a GPU where there is one, unless ``device`` says otherwise."""

    def __init__(self, tuner: Tuner, device: str | None = None) -> None:
        self.tuner = tuner
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.seconds: list[float] = []
        """Of every trial at the middle of the search space."""
        self.slowest = 0.0
        """Seconds of the slowest trial anywhere in the search space."""
        self.calls = 0
        self.failed: list[str] = []
        """Names of the checks that it has failed, as far as they were run on this subject."""

    def task(self, kind: str = "digits") -> TuningTask:
        """A fresh small task on the subject's device."""
        return small_task(kind, self.device)

    def space(self) -> Mapping[str, BaseDistribution]:
        """The search space; `Blocked` when there is no valid one."""
        try:
            space = self.tuner.search_space()
            middle(space)
        except Exception as exc:
            raise Blocked("see search-space") from exc
        return space

    def reason(self, task: TuningTask) -> str | None:
        """Why the tuner skips ``task``, or None; `Blocked` when `Tuner.skip` is broken."""
        try:
            reason = self.tuner.skip(task)
        except Exception as exc:
            raise Blocked("see skip") from exc
        if not (reason is None or isinstance(reason, str)):
            raise Blocked("see skip")
        return reason

    def tune(self, task: TuningTask, params: Mapping[str, Any] | None = None, prepared: Any = None) -> Trial:
        """Prepare, unless that is done, and tune; raises whatever the tuner raises.

        The global generators have another seed in every call.
        """
        chosen = middle(self.space()) if params is None else params
        self.calls += 1
        with undone(seed=self.calls):
            if prepared is None:
                prepared = self.tuner.prepare(task)
            start = time.perf_counter()
            output = self.tuner.tune(task, dict(chosen), prepared)
            seconds = time.perf_counter() - start
        self.slowest = max(self.slowest, seconds)
        if params is None:
            self.seconds.append(seconds)
        training = isinstance(output, nn.Module) and any(getattr(part, "training", False) for part in output.modules())
        copies = [tensor.detach().clone() for tensor in tensors_of(output) if isinstance(tensor, Tensor)]
        return Trial(task, chosen, output, prepared, training, copies)

    def tune_elsewhere(self, task: TuningTask, prepared: Any) -> None:
        """Tune at a corner of the search space; `Blocked` when that fails."""
        try:
            self.tune(task, next(corners(self.space())), prepared)
        except Exception as exc:
            raise Blocked("see search-space") from exc

    @cached_property
    def raw(self) -> Trial | Exception:
        """The first ordinary trial, or what it raised; shared by the checks that only look."""
        task = self.task()
        reason = self.reason(task)
        if reason is not None:
            return CheckFailed(f"skip() refuses an ordinary ten-class task ({reason}); nothing else can be checked")
        try:
            return self.tune(task)
        except Blocked:
            raise
        except Exception as exc:
            return exc

    @cached_property
    def trial(self) -> Trial:
        """The first trial if its output is usable; `Blocked` otherwise."""
        try:
            if isinstance(self.raw, Trial):
                self.first_logits = self.logits(self.raw)
                return self.raw
        except Blocked:
            raise
        except Exception as exc:
            raise Blocked("see output") from exc
        raise Blocked("see output")

    @cached_property
    def traces(self) -> Traces:
        """What an ordinary trial leaves behind."""
        assert self.trial  # a first trial may import modules, which is not held against the tuner
        task = self.task()
        with undone(seed=0):
            before = task_state(task), generator_states(), torch_settings(), warning_settings()
            self.tuner.tune(task, dict(self.trial.params), self.tuner.prepare(task))
            after = task_state(task), generator_states(), torch_settings(), warning_settings()
        return Traces(*zip(before, after, strict=True))

    def network(self, trial: Trial) -> nn.Module:
        """The plain network that a trial's output stands for; InvalidOutput when it cannot be one."""
        output, task = trial.output, trial.task
        if output is not task.model:  # the check no-shared-storage is there for that
            check_device_of(output, task)
            output = checked(output, task)
        return finished(task, Candidate(0, {}, output, Score(0, 0, 0, 0)))

    def logits(self, trial: Trial) -> Tensor:
        """Validation logits (M, C) of a trial's network; InvalidOutput when they are not finite."""
        logits = forward(self.network(trial), trial.task.x_valid)
        check_logits(logits, trial.task)
        return logits


def check_device_of(output: Any, task: TuningTask) -> None:
    """`Blocked` unless all tensors of ``output`` lie on the task's device."""
    if stray_device(output, task):
        raise Blocked("see device")


def stray_device(output: Any, task: TuningTask) -> str | None:
    """A device that ``output`` lies on and the task does not."""
    strays = [t.device for t in tensors_of(output) if isinstance(t, Tensor) and t.device.type != task.device.type]
    return str(strays[0]) if strays else None
