"""What no search yields: the paper's own n and scale on our originals, sweeps over both, a training traced.

Looks at the test split without choosing anything by it: nothing here feeds back into a tuned network.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunebench.datasets import Samples
from tunebench.grid.observer import Observer
from tunebench.grid.plan import make_plan
from tunebench.grid.tasks import load_task, load_test
from tunebench.naming import seed_of
from tunebench.networks import originals
from tunebench.networks.activations import activations, forward
from tunebench.networks.cost import cost_of_edit
from tunebench.networks.edits import anatomy_of, edited_logits, fold
from tunebench.networks.losses import CrossEntropy
from tunebench.networks.models import ModelSpec
from tunebench.networks.originals import OriginalKey, load_original, load_split
from tunebench.networks.training import minibatches, sgd
from tunebench.paper.experiments import Place4, Request, Run, Runs, accuracies, parts_of
from tunebench.paper.literal import RANKS, literal_synapses
from tunebench.paper.published import of_dataset
from tunebench.results.metrics import operating_point
from tunebench.results.store import Damaged, read_json, write_json
from tunebench.selection.tradeoff import margins, ray_steps
from tunebench.tuner import LogitEdit, Tuner, TuningTask

SCALES = tuple(round(0.1 * step, 1) for step in range(401))
"""Scales of figure 4."""
FIGURE4 = "mnist"
"""Data set of figures 4 and 5."""
CHECKPOINTS = 64
"""Points of figure 5."""

Sweep = dict[str, Any]


class Prober:
    """A trained original and its test activations, to score an edit in milliseconds."""

    def __init__(self, task: TuningTask, test: Samples) -> None:
        self.task, self.labels = task, test.y
        self.seen = activations(task.model, test.x)
        self.before = self.seen.logits.argmax(1)

    def run(self, edit: LogitEdit, params: dict[str, Any], scale: float) -> Run:
        """The `Run` of ``edit`` times ``scale``."""
        task, labels, before = self.task, self.labels.numpy(), self.before.numpy()
        scaled, anatomy = edit.scaled(scale), anatomy_of(task)
        after = edited_logits(scaled, self.seen.hidden, self.seen.logits).argmax(1).numpy()
        points = [operating_point(labels, p, before, task.targets, task.classes) for p in (before, after)]
        cost = cost_of_edit(task.model, scaled, fold(task.model, scaled, anatomy), task.x_valid[:1], anatomy)
        return {
            "original": points[0],
            "test": points[1],
            "cost": cost._asdict(),
            "params": params,
            "scale": scale,
            "original_per_class": accuracies(labels, before, task.classes),
            "per_class": accuracies(labels, after, task.classes),
        }

    def accuracy(self, edit: LogitEdit, scales: Sequence[float]) -> tuple[list[float], list[float]]:
        """TA and OA at every scale, exactly (`tunebench.selection.tradeoff.ray_steps`)."""
        base = margins(self.seen.logits, self.labels, self.task.targets)
        direction = self.seen.hidden @ edit.weight[self.task.target] + edit.bias[self.task.target]
        steps = ray_steps(base, direction.numpy())
        at = np.searchsorted(steps.high, np.asarray(scales, dtype=np.float64), side="right")
        ta, oa = steps.hits[at] / np.count_nonzero(base.is_target), steps.correct[at] / len(self.labels)
        return ta.tolist(), oa.tolist()


def analyse(request: Request, datasets: Sequence[str], observer: Observer) -> tuple[Runs, Sweep]:
    """Runs of the columns that search nothing, and the data of tables 3 and 6 and of figures 3, 4 and 5."""
    torch.set_num_threads(1)
    runs: Runs = {}
    sweeps: Sweep = {"figure3": {}, "figure4": {}, "figure5": None, "ranking": {}}
    seen: set[str] = set()
    observer.stage("sweeps", 2 * len(datasets))
    for protocol, part in parts_of(datasets):
        if f"{protocol}/{part.dataset}" in seen:  # the first part of a data set is its main one
            continue
        seen.add(f"{protocol}/{part.dataset}")
        plan = make_plan(part.suite(protocol, request.seeds, request.trials), request.options(part, protocol))
        target = int(part.targets[0])
        for key in plan.originals():
            spec = plan.models[key.model]
            for tuner in ("smvt-sj", "sj"):
                chosen = of_dataset("chosen", part.dataset)[tuner]
                task = load_task(key, spec, (target,), tuner, torch.device("cpu"))
                prober = Prober(task, load_test(key, (target,), torch.device("cpu")))
                found = probe(prober, plan.registry.tuner(tuner), chosen)
                if protocol == "paper":
                    place: Place4 = (part.dataset, part.model, part.targets[0], tuner)
                    letter = to_the_letter(prober, RANKS[tuner], chosen)
                    for column, one in (("fixed", found), ("literal", letter)):
                        runs.setdefault((column, place), []).append({"seed": key.seed, **one["fixed"]})
                    ranking = found["ranking"] | {"literal": letter["ranking"]}
                    sweeps["ranking"].setdefault(f"{part.dataset}/{tuner}", []).append(ranking)
                if tuner == "smvt-sj":
                    sweeps["figure3"].setdefault(part.dataset, {}).setdefault(protocol, []).append(found["by_n"])
                    if part.dataset == FIGURE4:
                        sweeps["figure4"].setdefault(protocol, []).append(found["by_scale"])
            if part.dataset == FIGURE4 and protocol == "paper" and key.seed == 0:
                sweeps["figure5"] = traced(request, key, spec, observer)
        observer.step(part.dataset)
    return runs, sweeps


def probe(prober: Prober, tuner: Tuner, chosen: dict[str, Any]) -> Sweep:
    """One original: the paper's n and scale, TA and OA by n at that scale and by scale at that n, the ranking."""
    task = prober.task
    prepared: Any = tuner.prepare(task)
    active = len(prepared.neurons)

    def edit(n: int) -> LogitEdit:
        made = tuner.tune(task, {"n": n}, prepared)
        assert isinstance(made, LogitEdit)
        return made

    by_n = [prober.accuracy(edit(n), [chosen["scale"]]) for n in range(1, active + 1)]
    ta, oa = prober.accuracy(edit(chosen["n"]), SCALES)
    return {
        "fixed": prober.run(edit(chosen["n"]), {"n": min(chosen["n"], active)}, chosen["scale"]),
        "by_n": {"ta": [ta[0] for ta, _ in by_n], "oa": [oa[0] for _, oa in by_n]},
        "by_scale": {"ta": ta, "oa": oa},
        "ranking": {"active": active, "counts": prepared.count[:4].tolist()},
    }


def to_the_letter(prober: Prober, k: int, chosen: dict[str, Any]) -> Sweep:
    """What `probe` finds of the paper's n and scale and of the ranking, by the letter of the paper."""
    synapses = literal_synapses(prober.task, k)
    params = {"n": min(chosen["n"], len(synapses.neurons))}
    run = prober.run(synapses.edit(prober.task, chosen["n"]), params, chosen["scale"])
    return {"fixed": run, "ranking": synapses.ranking()}


def traced(request: Request, key: OriginalKey, spec: ModelSpec, observer: Observer) -> Sweep:
    """`trace` of one original, kept in the output folder so that it is trained once."""
    path = request.out / "runs" / f"training-{key.folder.name}.json"
    try:
        return read_json(path)
    except Damaged:
        observer.stage("training curve", 1)
        content = trace(key, spec)
        observer.step(key.dataset)
        write_json(path, content)
        return content


def trace(key: OriginalKey, spec: ModelSpec, checkpoints: int = CHECKPOINTS) -> Sweep:
    """Train the original of ``key`` again, step by step the same, and record test accuracies on the way.

    ``steps`` (P,), ``per_class`` (P, C), ``oa`` (P,); ``same`` tells whether the end is the cached original.
    """
    recipe = key.recipe
    assert recipe.steps is not None
    data, test = load_split(key.data, "train"), load_split(key.data, "test")
    cached, tables = load_original(key, spec)
    rows = tables["train_rows"]
    x, y = (data.x, data.y) if len(rows) == len(data.y) else (data.x[rows], data.y[rows])
    classes = int(data.y.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("initialisation", key.seed))
        model = spec.build(tuple(data.x.shape[1:]), classes)
    batches = minibatches(x, y, recipe.steps, seed_of("order", key.seed), recipe.batch_size)
    # Geometric, then even: the first hundred steps decide most, the last thousands little.
    early = [2**k for k in range(6, 64) if 2**k < recipe.steps // checkpoints]
    marks = [0, *early, *(recipe.steps * (k + 1) // checkpoints for k in range(checkpoints))]
    per_class, oa = [], []
    for before, mark in itertools.pairwise([0, *marks]):
        sgd(model, itertools.islice(batches, mark - before), CrossEntropy(), recipe.lr)
        right = forward(model, test.x).argmax(1) == test.y
        per_class.append(recalls(right, test.y, classes))
        oa.append(float(right.double().mean()))
    same = all(torch.equal(value, cached.state_dict()[name]) for name, value in model.state_dict().items())
    return {"steps": marks, "per_class": per_class, "oa": oa, "same": same, "recipe": originals.RECIPE_VERSION}


def recalls(right: Tensor, labels: Tensor, classes: int) -> list[float]:
    """Share of ``right`` (N,) bool in each class."""
    hits = torch.bincount(labels[right], minlength=classes)
    shares: list[float] = (hits / torch.bincount(labels, minlength=classes)).tolist()
    return shares
