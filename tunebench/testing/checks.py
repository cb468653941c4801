"""What every tuner has to keep to, one function per rule; each failure says what is wrong and what to do."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution
from safetensors import torch as safetensors
from torch import Tensor, nn

from tunebench.activations import forward
from tunebench.edits import check_edit, edited_logits, fold
from tunebench.errors import InvalidOutput
from tunebench.plugins import SLUG, load_registry, one_line
from tunebench.testing.observe import changed, tensors_of
from tunebench.testing.points import corners
from tunebench.testing.subject import Blocked, CheckFailed, Subject, Trial, stray_device
from tunebench.tuner import LogitEdit

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


def check_output(subject: Subject) -> None:
    """`tune` returns a network or a LogitEdit with finite logits of the original's shape and dtype."""
    trial = subject.raw
    if isinstance(trial, CheckFailed):
        raise trial
    if isinstance(trial, Exception):
        raise CheckFailed(f"tune() raised {told(trial)}; mend it")
    try:
        logits = subject.logits(trial)
    except Blocked:
        raise
    except InvalidOutput as exc:
        raise CheckFailed(f"{exc}; return a tuned copy of task.model, or a LogitEdit") from exc
    except Exception as exc:
        raise CheckFailed(f"the tuned network raised {told(exc)}; it has to take inputs like task.x_valid") from exc
    if logits.dtype != trial.task.logits_valid.dtype:
        raise CheckFailed(f"the tuned network's logits are {logits.dtype}; keep {trial.task.logits_valid.dtype}")


def check_device(subject: Subject) -> None:
    """What `tune` returns lies on the task's device."""
    if not isinstance(subject.raw, Trial):
        raise Blocked("see output")
    stray = stray_device(subject.raw.output, subject.raw.task)
    if stray:
        raise CheckFailed(f"the output lies on {stray}, the task on {subject.device}; create tensors on task.device")


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


def check_no_shared_storage(subject: Subject) -> None:
    """The output has memory of its own."""
    task = subject.trial.task
    owned = [value for value in vars(task).values() if isinstance(value, Tensor)] + tensors_of(task.model)
    taken = {tensor.untyped_storage().data_ptr() for tensor in owned if tensor.numel()}
    if any(t.numel() and t.untyped_storage().data_ptr() in taken for t in tensors_of(subject.trial.output)):
        raise CheckFailed("the output shares memory with the task; return copy.deepcopy(task.model), or clone()")


def check_eval_mode(subject: Subject) -> None:
    """A returned network is in eval mode, in all its parts."""
    if subject.trial.training:
        raise CheckFailed("the returned network is in training mode; return model.eval()")


def check_batch_size(subject: Subject) -> None:
    """A sample's logits do not depend on the samples beside it."""
    network, x = subject.network(subject.trial), subject.trial.task.x_valid[:24]
    together = forward(network, x)
    for size in (1, 7):
        try:
            apart = forward(network, x, size)
        except Exception as exc:
            raise CheckFailed(f"the network fails on batches of {size} ({told(exc)}); accept any size") from exc
        if not close(apart, together):
            raise CheckFailed("a sample's logits depend on its batch; use no batch statistics in eval mode")


def check_no_graph(subject: Subject) -> None:
    """With gradients off nothing keeps an autograd graph, and no gradient is left behind."""
    trial = subject.trial
    for tensor in tensors_of(trial.output):
        if tensor.grad_fn is not None or (isinstance(trial.output, LogitEdit) and tensor.requires_grad):
            raise CheckFailed("a tensor of the output hangs on an autograd graph; detach() it")
        if tensor.grad is not None:
            raise CheckFailed("a tensor of the output has a .grad left over; call model.zero_grad() at the end")
    network = subject.network(trial)
    with torch.no_grad():
        graph = network(trial.task.x_valid[:2]).requires_grad
    if graph:
        raise CheckFailed("under torch.no_grad() the network still builds a graph; do not enable gradients in forward")


def check_export(subject: Subject) -> None:
    """The network can be pickled, and its whole state goes through safetensors."""
    network, x = subject.network(subject.trial), subject.trial.task.x_valid
    for name, part in network.named_modules():
        for key, value in vars(part).items():
            if isinstance(value, Tensor):
                raise CheckFailed(
                    f"tensor {'.'.join(filter(None, (name, key)))} is not in state_dict(); register_buffer() it"
                )
    try:
        restored = forward(reloaded(network), x)
    except Exception as exc:
        raise CheckFailed(
            f"the network cannot be saved and loaded ({one_line(exc)}); define its classes at the top of a module and "
            "give it no lambdas or hooks"
        ) from exc
    if not torch.equal(restored, forward(network, x)):
        raise CheckFailed("saved and loaded, the network gives other logits; keep all of its state in state_dict()")


def check_folded(subject: Subject) -> None:
    """Folded into a plain network, a LogitEdit gives the logits of its definition."""
    edit, task = subject.trial.output, subject.trial.task
    if isinstance(edit, LogitEdit):
        if type(edit) is not LogitEdit:
            raise CheckFailed(f"the host knows no {type(edit).__name__}; return a plain LogitEdit")
        expected = edited_logits(edit, task.hidden_valid, task.logits_valid)
        if not close(forward(fold(task.model, edit).to(task.device), task.x_valid), expected):
            raise CheckFailed("folded, the LogitEdit gives other logits than by definition; use smaller weights")


def check_scalable(subject: Subject) -> None:
    """A scalable tuner returns edits of the target's logit alone, from `rays` too."""
    trial, rays = subject.trial, getattr(subject.tuner, "rays", None)
    if not subject.tuner.scalable:
        return
    if not isinstance(trial.output, LogitEdit):
        raise CheckFailed("scalable is True, but tune() returns no LogitEdit; set scalable = False")
    try:
        proposed = rays(trial.task, subject.tuner.prepare(trial.task)) if rays else ()
        for edit in [trial.output, *(edit for _, edit in proposed)]:
            check_edit(edit, trial.task.classes, trial.task.hidden_train.shape[1])
            rows = (edit.weight.ne(0).any(1) | edit.bias.ne(0)).nonzero()[:, 0].tolist()
            if set(rows) - {trial.task.target}:
                raise InvalidOutput(f"the edit changes the logits {rows}, the target is {trial.task.target}")
    except Exception as exc:
        raise CheckFailed(f"{one_line(exc)}; use LogitEdit.of_target, or set scalable = False") from exc


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
    "skip": check_skip,
    **{kind: odd_task(kind) for kind in ODD_KINDS},
    "global-rng": check_global_rng,
    "global-settings": check_global_settings,
    "warnings": check_warnings,
}


@dataclass(frozen=True)
class Result:
    """How one check went; ``text`` says what to do, or why it was not run."""

    check: str
    status: Literal["ok", "FAILED", "not run"]
    text: str = ""


def run_checks(subject: Subject) -> Iterator[Result]:
    """Run all `CHECKS`, one after the other."""
    for name, check in CHECKS.items():
        try:
            check(subject)
        except CheckFailed as exc:
            yield Result(name, "FAILED", str(exc))
        except Blocked as exc:
            yield Result(name, "not run", str(exc))
        except Exception as exc:
            yield Result(name, "FAILED", f"raised {told(exc)}; mend it")
        else:
            yield Result(name, "ok")


def reloaded(network: nn.Module) -> nn.Module:
    """A pickled and unpickled copy whose state was blanked and then read back through safetensors."""
    copied: nn.Module = pickle.loads(pickle.dumps(network))
    state = safetensors.save({key: value.clone().contiguous() for key, value in network.state_dict().items()})
    with torch.no_grad():
        for tensor in copied.state_dict().values():
            tensor.zero_()
    copied.load_state_dict(safetensors.load(state))
    return copied


def kind_of(tuner: Any) -> tuple[str, str]:
    """What tells two tuners of one name apart."""
    return type(tuner).__module__, type(tuner).__qualname__


def close(a: Tensor, b: Tensor) -> bool:
    """Equal logits up to float32 rounding, as the host sees it."""
    return torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(b.detach().abs().max()))


def told(exc: BaseException) -> str:
    """An exception in one line, with the place where it was raised."""
    frames = traceback.extract_tb(exc.__traceback__)
    return one_line(exc) + (f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else "")
