"""How originals are trained: recipes by name, and one of them followed (docs/methods.md, section 1)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tunebench.datasets.splits import stratified
from tunebench.errors import UsageError
from tunebench.naming import seed_of, unknown_name
from tunebench.networks.activations import forward
from tunebench.networks.losses import CrossEntropy
from tunebench.networks.spec import RECIPES
from tunebench.networks.training import Optimiser, minibatches, train

Watched = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Puts a progress bar in front of batches, given their number and what they are."""
LATER = ("weights", "momentum", "weight_decay", "schedule")
"""Fields that came after the first keys: they are left out of a key at their defaults."""
SEEN, FEWEST_EPOCHS, MOST_EPOCHS = 500_000, 10, 60
"""Of recipe ``light``: samples that training sees, in so many epochs at least and at most."""


@dataclass(frozen=True)
class Recipe:
    """How an original is trained: SGD on cross entropy.

    Exactly one of ``steps`` (optimiser steps) and ``patience`` is set. With ``patience``, a stratified tenth of the
    *training* part decides when to stop: that many epochs without a better accuracy, and the best epoch is kept. The
    validation split stays unseen.
    """

    name: str
    lr: float
    steps: int | None = None
    patience: int | None = None
    batch_size: int = 64
    weights: str | None = None
    """Hex sha256 of weights that the network comes with: it is used as it is, in no steps."""
    momentum: float = 0.0
    """Nesterov's."""
    weight_decay: float = 0.0
    schedule: Literal["constant", "one-cycle"] = "constant"

    @property
    def facts(self) -> dict[str, Any]:
        """All fields as JSON values, without those of `LATER` that say nothing."""
        found = asdict(self)
        for field in fields(self):
            if field.name in LATER and found[field.name] == field.default:
                del found[field.name]
        return found

    def optimiser(self) -> Optimiser:
        """What takes the steps."""
        cycle = self.steps if self.schedule == "one-cycle" else None
        nesterov = self.momentum > 0
        return Optimiser(self.lr, "sgd", self.schedule, cycle or 0, self.weight_decay, self.momentum, nesterov)


def find_recipe(
    name: str | None, paper_iterations: int | None, dataset: str, samples: int, own: str | None = None
) -> Recipe:
    """The recipe called ``name`` for a data set of ``samples`` training samples; None takes the data set's default.

    ``own`` is the recipe that a network is trained to the end by: ``converged`` means it, and it is the default.
    """
    if own and name in (None, "converged"):
        name = own
    name = name or ("paper" if paper_iterations else "quick")
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    epoch = -(-samples // 64)
    if name == "paper":
        if paper_iterations is None:
            raise UsageError(f"no published recipe for {dataset!r}; use --recipe quick, converged or light")
        return Recipe("paper", lr=0.001, steps=paper_iterations)
    if name == "converged":
        return Recipe("converged", lr=0.1, patience=10)
    if name == "light":
        epochs = min(max(FEWEST_EPOCHS, SEEN // samples), MOST_EPOCHS)
        return Recipe("light", lr=0.05, steps=epochs * epoch, momentum=0.9, weight_decay=5e-4, schedule="one-cycle")
    return Recipe("quick", lr=0.05, steps=20 * epoch)


def run_recipe(model: nn.Module, x: Tensor, y: Tensor, recipe: Recipe, seed: int, watched: Watched) -> int:
    """Train ``model`` in place on x (N, *shape) and y (N,); returns the number of optimiser steps taken."""
    order, optimiser = seed_of("order", seed), recipe.optimiser()
    if recipe.steps is not None:
        batches = minibatches(x, y, recipe.steps, order, recipe.batch_size)
        train(model, watched(batches, recipe.steps, ""), CrossEntropy(), optimiser)
        return recipe.steps
    assert recipe.patience is not None
    fit, stop = (torch.from_numpy(r) for r in stratified(y.cpu().numpy(), len(y) // 10, seed_of("stopping", seed)))
    x_fit, y_fit, x_stop, y_stop = x[fit], y[fit], x[stop], y[stop]
    per_epoch = -(-len(y_fit) // recipe.batch_size)
    best, best_state, waited, epoch = -1, copy.deepcopy(model.state_dict()), 0, 0
    while waited < recipe.patience and epoch < 200:
        batches = minibatches(x_fit, y_fit, per_epoch, seed_of(order, epoch), recipe.batch_size)
        train(model, watched(batches, per_epoch, f" epoch {epoch}"), CrossEntropy(), optimiser)
        right = int((forward(model, x_stop).argmax(1) == y_stop).sum())
        epoch, waited = epoch + 1, waited + 1
        if right > best:
            best, best_state, waited = right, copy.deepcopy(model.state_dict()), 0
    model.load_state_dict(best_state)
    return epoch * per_epoch
