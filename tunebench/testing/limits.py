"""Whether a tuner keeps the user's limits that it says it honours."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from tunebench.networks.cost import added_params, count_params
from tunebench.networks.edits import anatomy_of
from tunebench.selection.constraints import LIMITS, ROUNDING, reach
from tunebench.testing.subject import CheckFailed, Subject
from tunebench.tuner import LogitEdit, TuningTask

TIGHT: dict[str, Any] = {"synapse_layers": (0,), "max_new_params": 1, "max_weight": 0.01}
"""Limits that what a tuner returns can be held against."""


def check_limits_kept(subject: Subject) -> None:
    """What is proposed keeps the limits in `honours`."""
    honours = subject.tuner.honours
    if not isinstance(honours, frozenset) or not honours <= set(LIMITS):
        raise CheckFailed(f"honours is {honours!r}; name some of {', '.join(LIMITS)} in a frozenset")
    assert subject.trial
    for name in sorted(honours & TIGHT.keys()):
        task = dataclasses.replace(subject.task(), **{name: TIGHT[name]})
        if subject.tuner.skip(task) is None and not all(keeps(subject, task, out) for out in proposals(subject, task)):
            raise CheckFailed(f"{name} is {TIGHT[name]} and a proposal breaks it; keep it, or leave it to the host")


def proposals(subject: Subject, task: TuningTask) -> Iterator[Any]:
    """The output of an ordinary trial, and the rays."""
    prepared = subject.tuner.prepare(task)
    yield subject.tune(task, prepared=prepared).output
    rays = getattr(subject.tuner, "rays", None)
    yield from (edit for _, edit in (rays(task, prepared) if rays else ()))


def keeps(subject: Subject, task: TuningTask, output: Any) -> bool:
    """Whether an output keeps the limits of ``task``; of a scalable tuner, whether some multiple of it does."""
    if not isinstance(output, LogitEdit):
        added = count_params(output) - count_params(task.model)
        return task.max_new_params is None or added <= task.max_new_params
    found = reach(output, task, added_params(task.model, output, anatomy_of(task)))
    return found > 0 if subject.tuner.scalable else found >= 1 - ROUNDING
