"""What every tuner has to keep to, one function per rule; each failure says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution

from tunebench.plugins import SLUG, load_registry
from tunebench.testing.limits import check_limits_kept
from tunebench.testing.observe import changed, tensors_of
from tunebench.testing.points import corners
from tunebench.testing.returned import (
    check_batch_size,
    check_device,
    check_eval_mode,
    check_export,
    check_folded,
    check_no_graph,
    check_no_shared_storage,
    check_output,
    check_scalable,
    told,
)
from tunebench.testing.subject import Blocked, CheckFailed, Subject
from tunebench.testing.whole import check_cell

SEEDED = "draw from torch.Generator().manual_seed(task.seed)"


def check_name(subject: Subject) -> None:
    """The name is a slug and no other tuner has it."""
    tuner = subject.tuner
    if not isinstance(tuner.name, str) or not SLUG.fullmatch(tuner.name):
        raise CheckFailed(f"the name {tuner.name!r} is not a slug; use lower case letters, digits and single hyphens")
    same = [
        (plugin, kind_of(other))
        for plugin, other in load_registry().offered("tunebench_tuners")
        if getattr(other, "name", None) == tuner.name
    ]
    others = [plugin for plugin, kind in same if kind != kind_of(tuner)]
    if others or len(same) > 1:
        owner = others[0] if others else same[0][0]
        raise CheckFailed(f"plugin {owner!r} has a tuner {tuner.name!r} too; choose another name")


def check_search_space(subject: Subject) -> None:
    """The space maps names to Optuna distributions, and its corners can be tuned."""
    try:
        space, again = subject.tuner.search_space(), subject.tuner.search_space()
    except Exception as exc:
        raise CheckFailed(f"search_space() raised {told(exc)}; return a dict of Optuna distributions") from exc
    if not isinstance(space, Mapping):
        raise CheckFailed(f"search_space() returned {type(space).__name__}; return a dict of Optuna distributions")
    for name, distribution in space.items():
        if not isinstance(name, str) or not isinstance(distribution, BaseDistribution):
            raise CheckFailed(f"search_space()[{name!r}] is not an Optuna distribution; use FloatDistribution or such")
        choices = distribution.choices if isinstance(distribution, CategoricalDistribution) else ()
        if not all(isinstance(choice, str | int | float | bool | None) for choice in choices):
            raise CheckFailed(f"search_space()[{name!r}] has choices that JSON does not know; name them by strings")
    if dict(again) != dict(space):
        raise CheckFailed("search_space() differs between two calls; return the same distributions every time")
    assert subject.trial
    task = subject.task()
    prepared = subject.tuner.prepare(task)
    for params in corners(space):
        try:
            subject.logits(subject.tune(task, params, prepared))
        except Exception as exc:
            raise CheckFailed(f"tune() fails at the corner {params} ({told(exc)}); narrow the range") from exc


def check_deterministic(subject: Subject) -> None:
    """Equal seeds and parameters give equal logits, whatever was tuned before."""
    first = subject.trial
    task = subject.task()
    prepared = subject.tuner.prepare(task)
    subject.tune_elsewhere(task, prepared)
    later = subject.tune(task, prepared=prepared)
    if first.params != later.params or not torch.equal(subject.first_logits, subject.logits(later)):
        raise CheckFailed(f"equal parameters and seed gave other logits; {SEEDED} and keep nothing between trials")


def check_independent_trials(subject: Subject) -> None:
    """A later trial does not change the output of an earlier one."""
    trial = subject.trial
    subject.tune_elsewhere(trial.task, trial.prepared)
    if not all(torch.equal(a, b) for a, b in zip(trial.tensors, tensors_of(trial.output), strict=True)):
        raise CheckFailed("a later trial changed an earlier output; return new tensors from every tune()")


def check_inputs_unchanged(subject: Subject) -> None:
    """The task and its network are as they were."""
    names = changed(*subject.traces.task)
    if names:
        raise CheckFailed(f"changed {', '.join(names[:4])}; work on copy.deepcopy(task.model) and on clones")


def check_skip(subject: Subject) -> None:
    """`skip` returns None or says why, on every kind of task."""
    for kind in ("digits", *ODD_KINDS):
        try:
            reason = subject.tuner.skip(subject.task(kind))
        except Exception as exc:
            raise CheckFailed(f"skip() raised {told(exc)} on the task {kind}; return a reason instead") from exc
        if not (reason is None or (isinstance(reason, str) and reason.strip())):
            raise CheckFailed(f"skip() returned {reason!r} on the task {kind}; return None, or a sentence on why not")


def odd_task(kind: str) -> Callable[[Subject], None]:
    """The check that a tuner copes with one kind of task, or skips it."""

    def check(subject: Subject) -> None:
        assert subject.trial
        task = subject.task(kind)
        if subject.reason(task) is not None:
            return
        try:
            subject.logits(subject.tune(task))
        except Exception as exc:
            raise CheckFailed(f"fails on such a task ({told(exc)}); handle it, or let skip() say why not") from exc

    check.__doc__ = f"Copes with the task {kind}, or skips it."
    return check


def check_global_rng(subject: Subject) -> None:
    """The global random generators are left alone."""
    names = changed(*subject.traces.generators)
    if names:
        raise CheckFailed(f"used or seeded the global generator of {', '.join(names)}; {SEEDED} instead")


def check_global_settings(subject: Subject) -> None:
    """Threads, default dtype and gradient mode are left alone."""
    names = changed(*subject.traces.settings)
    if names:
        raise CheckFailed(f"changed torch's {', '.join(names)}; leave it to the host, or put it back")


def check_warnings(subject: Subject) -> None:
    """The warning filters are left alone."""
    if changed(*subject.traces.warnings):
        raise CheckFailed("changed the global warning filters; use warnings.catch_warnings() around the noisy part")


ODD_KINDS = ("two-classes", "47-classes", "never-predicted", "perfect-model", "two-targets")
CHECKS: dict[str, Callable[[Subject], None]] = {
    "name": check_name,
    "output": check_output,
    "device": check_device,
    "search-space": check_search_space,
    "deterministic": check_deterministic,
    "independent-trials": check_independent_trials,
    "inputs-unchanged": check_inputs_unchanged,
    "no-shared-storage": check_no_shared_storage,
    "eval-mode": check_eval_mode,
    "batch-size": check_batch_size,
    "no-graph": check_no_graph,
    "export": check_export,
    "folded": check_folded,
    "scalable": check_scalable,
    "limits": check_limits_kept,
    "skip": check_skip,
    **{kind: odd_task(kind) for kind in ODD_KINDS},
    "global-rng": check_global_rng,
    "global-settings": check_global_settings,
    "warnings": check_warnings,
    "cell": check_cell,
}


@dataclass(frozen=True)
class Result:
    """How one check went; ``text`` says what to do, or why it was not run."""

    check: str
    status: Literal["ok", "FAILED", "not run"]
    text: str = ""


def run_checks(subject: Any, checks: Mapping[str, Callable[[Any], None]] = CHECKS) -> Iterator[Result]:
    """Run ``checks`` of a tuner, or of a network, one after the other."""
    for name, check in checks.items():
        result = Result(name, "ok")
        try:
            check(subject)
        except CheckFailed as exc:
            result = Result(name, "FAILED", str(exc))
        except Blocked as exc:
            result = Result(name, "not run", str(exc))
        except Exception as exc:
            result = Result(name, "FAILED", f"raised {told(exc)}; mend it")
        if result.status == "FAILED":
            subject.failed.append(name)
        yield result


def kind_of(tuner: Any) -> tuple[str, str]:
    """What tells two tuners of one name apart."""
    return type(tuner).__module__, type(tuner).__qualname__
