"""What a tuner returns: the rules for its network or edit, one function each."""

from __future__ import annotations

import io
import pickle
import traceback

import torch
from safetensors import torch as safetensors
from torch import Tensor, nn

from tunebench.errors import InvalidOutput
from tunebench.naming import said
from tunebench.networks.activations import forward
from tunebench.networks.edits import agree, anatomy_of, check_edit, edited_logits, fold, terms_of
from tunebench.testing.observe import tensors_of
from tunebench.testing.subject import Blocked, CheckFailed, Subject, Trial, stray_device
from tunebench.tuner import LogitEdit


def check_output(subject: Subject) -> None:
    """`tune` returns a network or a LogitEdit with finite logits of the original's shape and dtype."""
    trial = subject.raw
    if isinstance(trial, CheckFailed):
        raise trial
    if isinstance(trial, Exception):
        raise CheckFailed(f"tune() raised {told(trial)}; mend it")
    try:
        subject.logits(trial)
    except Blocked:
        raise
    except InvalidOutput as exc:
        raise CheckFailed(f"{exc}; return a tuned copy of task.model, or a LogitEdit") from exc
    except Exception as exc:
        raise CheckFailed(f"the tuned network raised {told(exc)}; it has to take inputs like task.x_valid") from exc
    x = trial.task.x_valid[:1]
    with torch.no_grad():
        found, expected = subject.network(trial)(x).dtype, trial.task.model(x).dtype
    if found != expected:
        raise CheckFailed(f"the tuned network's logits are {found}; keep {expected}")


def check_device(subject: Subject) -> None:
    """What `tune` returns lies on the task's device."""
    if not isinstance(subject.raw, Trial):
        raise Blocked("see output")
    stray = stray_device(subject.raw.output, subject.raw.task)
    if stray:
        raise CheckFailed(f"the output lies on {stray}, the task on {subject.device}; create tensors on task.device")


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
        if not agree(apart, together, network):
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
            f"the network cannot be saved and loaded ({said(exc)}); define its classes at the top of a module and "
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
        expected, terms = (of(edit, task.hidden_valid, task.logits_valid) for of in (edited_logits, terms_of))
        if not agree(forward(fold(task.model, edit, anatomy_of(task)), task.x_valid), expected, task.model, terms):
            raise CheckFailed("folded, the LogitEdit gives other logits than by definition; use smaller weights")


def check_scalable(subject: Subject) -> None:
    """A scalable tuner returns edits, from `rays` too."""
    trial, rays = subject.trial, getattr(subject.tuner, "rays", None)
    if not subject.tuner.scalable:
        return
    if not isinstance(trial.output, LogitEdit):
        raise CheckFailed("scalable is True, but tune() returns no LogitEdit; set scalable = False")
    try:
        proposed = rays(trial.task, subject.tuner.prepare(trial.task)) if rays else ()
        for edit in [trial.output, *(edit for _, edit in proposed)]:
            check_edit(edit, trial.task.classes, trial.task.hidden_train.shape[1])
    except Exception as exc:
        raise CheckFailed(f"{said(exc)}; use LogitEdit.of_target, or set scalable = False") from exc


def saved_and_loaded(network: nn.Module) -> nn.Module:
    """A copy that went through bytes: a scripted network in torch's own format, any other pickled."""
    if not isinstance(network, torch.jit.ScriptModule):
        copied: nn.Module = pickle.loads(pickle.dumps(network))
        return copied
    content = io.BytesIO()
    torch.jit.save(network, content)
    content.seek(0)
    loaded: nn.Module = torch.jit.load(content)  # type: ignore[no-untyped-call]
    return loaded


def reloaded(network: nn.Module) -> nn.Module:
    """A pickled and unpickled copy whose state was blanked and then read back through safetensors."""
    copied: nn.Module = saved_and_loaded(network)
    state = safetensors.save({key: value.clone().contiguous() for key, value in network.state_dict().items()})
    with torch.no_grad():
        for tensor in copied.state_dict().values():
            tensor.zero_()
    copied.load_state_dict(safetensors.load(state))
    return copied


def told(exc: BaseException) -> str:
    """An exception in one line, with the place where it was raised."""
    frames = traceback.extract_tb(exc.__traceback__)
    return said(exc) + (f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else "")
