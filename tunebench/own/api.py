"""The same from Python: ``tunebench.tune`` and ``tunebench.tune_logits``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tunebench.datasets.splits import stratified
from tunebench.errors import DataError, UsageError
from tunebench.naming import said, seed_of, unknown_name
from tunebench.networks.activations import activations
from tunebench.networks.probe import check_classifier
from tunebench.own.comparison import FEWEST, Wish, compare_here
from tunebench.own.data import SEED, SHARE
from tunebench.own.files import require_exports, write_network
from tunebench.own.network import LEARNING_RATE
from tunebench.own.pick import lines_of, pick
from tunebench.own.report import Report
from tunebench.selection import tradeoff
from tunebench.selection.budgets import allowance
from tunebench.selection.constraints import LIMITS
from tunebench.tuner import TuningTask


@dataclass(frozen=True)
class Tuned:
    """What `tune` returns."""

    model: nn.Module
    """The tuned network in eval mode; a copy also where no tuner helped."""
    details: Report
    original: nn.Module

    @property
    def report(self) -> dict[str, Any]:
        """As in ``report.json``: target, original, tuned, tuner, params, budget, certificate, candidates."""
        return self.details.as_dict()

    def save(self, out: Path | str) -> list[Path]:
        """Write ``tuned.safetensors`` (or ``tuned.pt2``) and the report to the folder ``out``; the networks' paths.

        The report is ``report.json``, ``report.md`` and ``index.html``.
        """
        return self._write(Path(out), ())

    def to_onnx(self, out: Path | str) -> Path:
        """What `save` writes, and ``tuned.onnx``, checked against torch on real samples; the path of that.

        UsageError where the packages of ``tunebench[export]`` are missing.
        """
        require_exports(("onnx",))
        return next(path for path in self._write(Path(out), ("onnx",)) if path.suffix == ".onnx")

    def _write(self, out: Path, exports: Sequence[str]) -> list[Path]:
        x = self.details.comparison.task.x_valid
        written = write_network(copy.deepcopy(self.model), self.original, x, out, exports)
        self.details.write(out)
        return [file.path for file in written]


def tune(
    model: nn.Module,
    train: Any,
    valid: Any,
    target: int | str,
    *,
    budget: float = 0.5,
    recall: float | None = None,
    names: Sequence[str] | None = None,
    tuners: Sequence[str] = (),
    confidence: float = 0.9,
    trials: int = 30,
    limits: Mapping[str, Any] = MappingProxyType({}),
) -> Tuned:
    """Raise the recall of one class of a trained network at a small loss of overall accuracy.

    ``train`` is what tuners fit on, or None: then half of ``valid`` is. ``valid`` are samples that the network has
    not seen. Both are (x, y) with x (N, *shape) as the network takes it and y (N,) class numbers, as tensors or arrays;
    or a data set or loader of such samples or batches. ``target`` is a class number, or one of ``names``. ``budget``
    is in percentage points of OA; ``recall`` asks instead for that TA at least, a fraction, at the least loss of OA.
    ``limits`` are what no choice may break, by their names in a suite: ``max_steps``, ``protect`` (a list such as
    ``["cat:0.5"]``), ``synapse_layers``, ``max_new_params``, ``max_weight``. The model is used as it is and copied,
    never trained over. No file is written.

    Raises UsageError or DataError, one line, for what cannot be used.
    """
    x, y = tensors(valid, "valid")
    x_fit, y_fit = (None, None) if train is None else tensors(train, "train")
    if x_fit is None or y_fit is None:
        fit, rest = stratified(y.numpy(), round(len(y) * (1 - SHARE)), SEED)
        x_fit, y_fit, x, y = x[fit], y[fit], x[rest], y[rest]
    task = task_of(model, (x_fit, y_fit), (x, y), number(target, names))
    known = tuple(map(str, names if names is not None else range(task.classes)))
    if len(known) != task.classes:
        raise UsageError(f"there are {len(known)} names, the network has {task.classes} outputs; name each of them")
    wish = Wish(task.target, tuple(tuners), budget, recall, confidence, trials=trials, limits=known_limits(limits))
    comparison = compare_here(task, known, wish, train is not None)
    lines = lines_of(comparison)
    choice = pick(lines, wish)
    report = Report(comparison, lines, choice, f"tuners fit on {len(y_fit):,} samples, chosen on {len(y):,}")
    return Tuned(comparison.rebuild(choice.line.tuner, choice.line.variant), report, task.model)


def known_limits(limits: Mapping[str, Any]) -> dict[str, Any]:
    """``limits``; UsageError for one that there is not."""
    for name in limits:
        if name not in LIMITS:
            raise unknown_name("limit", name, LIMITS)
    return dict(limits)


def task_of(model: nn.Module, fit: tuple[Tensor, Tensor], choose: tuple[Tensor, Tensor], target: int) -> TuningTask:
    """The task of a network at hand; DataError or UsageError for what does not fit together."""
    (x_fit, y_fit), (x, y) = fit, choose
    network = copy.deepcopy(model).cpu().eval()
    classes = check_classifier(network, type(model).__name__, x.shape[1:])
    if int(max(y.max(), y_fit.max())) >= classes or int(min(y.min(), y_fit.min())) < 0:
        raise DataError(f"labels go from {int(y.min())} to {int(y.max())}, the network has {classes} outputs")
    if not 0 <= target < classes:
        raise UsageError(f"target {target}: the network has classes 0 to {classes - 1}")
    if x_fit.shape[1:] != x.shape[1:]:
        raise DataError(f"inputs are {tuple(x_fit.shape[1:])} in train and {tuple(x.shape[1:])} in valid")
    for name, labels in (("train", y_fit), ("valid", y)):
        if int((labels == target).sum()) < FEWEST:
            count = int((labels == target).sum())
            raise DataError(f"class {target} has {count} samples in {name}; give at least {FEWEST}")
    seen, held = activations(network, x_fit), activations(network, x)
    return TuningTask(
        model=network, targets=(target,), target=target, classes=classes, x_train=x_fit, y_train=y_fit, x_valid=x,
        y_valid=y, hidden_train=seen.hidden, hidden_valid=held.hidden, logits_train=seen.logits,
        logits_valid=held.logits, layer_of=seen.layer_of, seed=seed_of("own", target), device=torch.device("cpu"),
        learning_rate=LEARNING_RATE,
    )  # fmt: skip


def tune_logits(logits: Any, y: Any, target: int, *, budget: float = 0.5) -> np.ndarray:
    """The vector (C,) to add to logits, or to the logarithm of ``predict_proba``, for the best recall of ``target``.

    ``logits`` (N, C) and labels y (N,) are of samples that the classifier has not seen. The best bias on the target's
    logit that keeps the budget (percentage points of OA on these samples), by sorting margins; zeros where none helps.
    A score may be -inf, the logarithm of 0: nothing that is added moves it, and its sample is counted as it stays.

    Raises UsageError or DataError, one line, for what cannot be used.
    """
    budget = Wish(target, budget=budget).budget
    scores, labels = (array(values).to(kind) for values, kind in ((logits, torch.float64), (y, torch.int64)))
    if scores.dim() != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise DataError(
            f"logits {tuple(scores.shape)} and labels {tuple(labels.shape)}: give (N, C) and (N,), N above 0"
        )
    if not 0 <= target < scores.shape[1]:
        raise UsageError(f"target {target}: there are classes 0 to {scores.shape[1] - 1}")
    if not bool(scores.amax(1).isfinite().all()):  # NaN wins, as inf does; -inf alone leaves nothing to compare
        raise DataError("logits hold NaN or inf, or -inf for every class of a sample; give finite ones, or logarithms")
    if not 0 <= int(labels.min()) <= int(labels.max()) < scores.shape[1]:
        raise DataError(
            f"labels go from {int(labels.min())} to {int(labels.max())}, there are {scores.shape[1]} columns"
        )
    base = settled(tradeoff.margins(scores, labels, (target,)))
    steps, offset = tradeoff.shift_steps(base, allowance(budget, len(labels)))
    bias = np.zeros(scores.shape[1])
    interval = tradeoff.best_interval(steps, len(labels), budget)
    if interval is not None and steps.score(interval).hits > int((base.was_right & base.is_target).sum()):
        bias[target] = steps.scale(interval) - offset
    return bias


def settled(base: tradeoff.Margins) -> tradeoff.Margins:
    """``base`` with samples of infinite gap, which no bias moves, counted where they are once and for all."""
    fixed, inside = np.isinf(base.gap), base.gap == -np.inf
    return base._replace(
        gap=np.where(fixed, 0.0, base.gap),
        outside=base.outside + base.change[:, inside].sum(1, dtype=np.int64),
        change=np.where(fixed, np.int8(0), base.change),
    )


def array(values: Any, name: str = "") -> Tensor:
    """Anything array-like as a tensor of its own type; DataError for what holds no numbers."""
    try:
        return values.detach().cpu() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    except (TypeError, ValueError, RuntimeError) as exc:
        raise DataError(f"{name or type(values).__name__} holds no numbers: {exc}") from exc


def number(target: int | str, names: Sequence[str] | None) -> int:
    """The class number that ``target`` means."""
    if isinstance(target, str):
        if names is None or target not in names:
            raise unknown_name("class", target, names or ("a class number, or pass names=[...]",))
        return list(names).index(target)
    return int(target)


def tensors(data: Any, name: str) -> tuple[Tensor, Tensor]:
    """Inputs (N, *shape) float and labels (N,) int64 of a pair, a data set or a loader."""
    if isinstance(data, tuple | list) and len(data) == 2 and all(hasattr(part, "shape") for part in data):
        x, y = (array(part, name) for part in data)
    else:
        x, y = collected(data, name)
    if not x.dim() or not y.dim():
        raise DataError(f"{name}: inputs {tuple(x.shape)} and labels {tuple(y.shape)}; give (N, *shape) and (N,)")
    if len(x) != len(y) or not len(x):
        raise DataError(f"{name}: {len(x)} inputs and {len(y)} labels; they must be equally many, and some")
    if y.dim() > 1 and y.numel() != len(y):
        raise DataError(f"{name}: labels are {tuple(y.shape)}; give class numbers (N,), not one column per class")
    # A sum is a fraction of the work, and nothing finite comes of NaN or infinity.
    if not bool(x.sum().isfinite()) and not bool(x.isfinite().all()):
        raise DataError(f"{name}: inputs hold NaN or infinite values")
    return x if x.is_floating_point() else x.float(), y.reshape(-1).to(torch.int64)


def collected(data: Iterable[Any], name: str) -> tuple[Tensor, Tensor]:
    """All samples of a loader (batches) or a data set (single samples) of (x, y)."""
    batched: Callable[[Any], bool] = lambda y: getattr(y, "ndim", 0) > 0  # noqa: E731
    xs, ys = [], []
    try:
        for x, y in data:
            many = batched(y)
            xs.append(torch.as_tensor(np.asarray(x)) if many else torch.as_tensor(np.asarray(x))[None])
            ys.append(torch.as_tensor(np.asarray(y)) if many else torch.as_tensor([int(y)]))
        return torch.cat(xs), torch.cat(ys)
    except (TypeError, ValueError, RuntimeError) as exc:
        raise DataError(f"{name} cannot be read as samples (x, y): {said(exc)}") from exc
