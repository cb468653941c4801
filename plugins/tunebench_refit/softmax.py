"""Softmax regression with a ridge: a convex loss, its derivatives, and Newton's method with conjugate gradients.

N samples, D columns of the design, K logits of which the last R <= K are refitted. Products with the design are made in
its own type, sums over few numbers and all coefficients are float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

SAMPLED = 1 << 13
"""Rows of the design, evenly spaced, that the preconditioner is made from."""
STEPS, PRODUCTS = 25, 40
"""Most Newton steps, and most products with the Hessian in one of them."""
SHORTEST = 1e-12
"""Part of a Newton step that is not halved again; where a class is never predicted there is next to no curvature."""
TOLERANCE = 5e-3
"""Part of the gradient at the original that may be left: far below what changes a prediction."""


class Point(NamedTuple):
    """The loss at some coefficients."""

    value: float
    gradient: Tensor
    """(R, D) float64."""
    chances: Tensor
    """Softmax of the refitted logits, (N, R)."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """``sum_k weight_k CE(logits_k + design_k @ coefficients.T, label_k) + ridge / 2 |coefficients|^2``, convex.

    The coefficients (R, D) float64 are what is *added* to the network, so that 0 is the original and the ridge
    penalises the distance from it. The last column of the design is a constant, which costs nothing.
    """

    design: Tensor
    """(N, D)."""
    logits: Tensor
    """The original's, (N, K); the first K - R of them stay."""
    labels: Tensor
    """Which of the K logits should be the largest, (N,) int64."""
    weight: Tensor
    """Of the samples, >= 0, (N,); they sum to 1."""
    ridge: float
    rows: int
    """R."""

    @property
    def origin(self) -> Tensor:
        """The original's coefficients."""
        return self.design.new_zeros(self.rows, self.design.shape[1], dtype=torch.float64)

    @property
    def penalty(self) -> Tensor:
        """The ridge of every column, (D,) float64."""
        penalty = self.origin[0] + self.ridge
        penalty[-1] = 0
        return penalty

    def at(self, coefficients: Tensor) -> Point:
        """Value, gradient and probabilities at ``coefficients``."""
        logits = self.logits.clone()
        logits[:, -self.rows :] += self.design @ coefficients.to(self.design.dtype).t()
        log_p = logits.log_softmax(1)
        surprise = -log_p.gather(1, self.labels[:, None])[:, 0]
        chances = log_p[:, -self.rows :].exp()
        truth = self.labels - (logits.shape[1] - self.rows)
        seen = (truth >= 0).nonzero()[:, 0]
        slope = chances * self.weight[:, None]
        slope[seen, truth[seen]] -= self.weight[seen]
        penalised = self.penalty * coefficients
        value = float(self.weight.double() @ surprise.double() + (penalised * coefficients).sum() / 2)
        return Point(value, (slope.t() @ self.design).double() + penalised, chances)

    def curvature(self, chances: Tensor, direction: Tensor) -> Tensor:
        """The Hessian at a point with these ``chances``, times ``direction`` (R, D)."""
        moved = chances * (self.design @ direction.to(self.design.dtype).t())
        moved -= chances * moved.sum(1, keepdim=True)
        moved *= self.weight[:, None]
        return (moved.t() @ self.design).double() + self.penalty * direction

    def blocks(self, chances: Tensor) -> Tensor:
        """Cholesky factors (R, D, D) of the Hessian's diagonal blocks, one per row, from a sample of the rows."""
        some = slice(None, None, max(1, len(self.design) // SAMPLED))
        design, weight = self.design[some], self.weight[some] / self.weight[some].sum()
        own = chances[some] * (1 - chances[some]) * weight[:, None]
        blocks = torch.stack([(design * part[:, None]).t() @ design for part in own.t()]).double()
        blocks.diagonal(dim1=1, dim2=2).add_(self.penalty + 1e-5 * own.double().sum(0)[:, None] + 1e-9)
        return torch.linalg.cholesky(blocks)

    def solved(self, factors: Tensor, residual: Tensor) -> Tensor:
        """The preconditioner: every row by its own block.

        Adding the same to all K logits changes nothing, so where all are refitted that direction is left out.
        """
        whole = self.rows == self.logits.shape[1]
        residual = residual - residual.mean(0) if whole else residual
        found = torch.cholesky_solve(residual[:, :, None], factors)[:, :, 0]
        return found - found.mean(0) if whole else found


def minimise(loss: Ridge, tolerance: float = TOLERANCE) -> Tensor:
    """The coefficients (R, D) float64 of the least loss, from those of the original.

    Newton's method, its systems solved by preconditioned conjugate gradients up to a residual that shrinks with the
    gradient (Nocedal & Wright 2006, algorithm 7.1), steps halved until they pay.
    """
    here, point = loss.origin, loss.at(loss.origin)
    first = float(point.gradient.norm())
    for _ in range(STEPS):
        left = float(point.gradient.norm())
        if left <= tolerance * first:
            break
        step = newton_step(loss, point, min(0.3, (left / first) ** 0.5))
        slope = float((point.gradient * step).sum())
        size, found = 1.0, loss.at(here + step)
        while not found.value <= point.value + 1e-4 * size * slope and size > SHORTEST:
            size /= 2
            found = loss.at(here + size * step)
        if not found.value < point.value:
            break  # no further in this precision
        here, point = here + size * step, found
    return here


def newton_step(loss: Ridge, point: Point, tolerance: float) -> Tensor:
    """About ``-Hessian^-1 gradient``, (R, D), up to a residual of ``tolerance`` in the preconditioner's norm."""
    factors = loss.blocks(point.chances)
    step, residual = torch.zeros_like(point.gradient), -point.gradient
    direction = solved = loss.solved(factors, residual)
    size = start = float((residual * solved).sum())
    for _ in range(PRODUCTS):
        bent = loss.curvature(point.chances, direction)
        energy = float((direction * bent).sum())
        if not energy > 0:
            break  # flat in this precision: every sample is as good as certain
        along = size / energy
        step += along * direction
        residual = residual - along * bent
        solved = loss.solved(factors, residual)
        size, before = float((residual * solved).sum()), size
        if size <= tolerance**2 * start:
            break
        direction = solved + size / before * direction
    return step
