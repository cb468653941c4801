"""The convex solver: derivatives against autograd, optima against scikit-learn."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from tunebench_refit.softmax import Ridge, minimise

N, D = 300, 6


def problem(rows, logits=None, ridge=0.01, classes=4):
    """A float64 problem of N samples that overlap, D columns and one constant, with weights that differ."""
    draw = torch.Generator().manual_seed(3)
    labels = torch.randint(classes, (N,), generator=draw)
    centres = torch.randn(classes, D, generator=draw, dtype=torch.float64)
    design = torch.ones(N, D + 1, dtype=torch.float64)
    design[:, :-1] = centres[labels] + 1.5 * torch.randn(N, D, generator=draw, dtype=torch.float64)
    weight = 0.2 + torch.rand(N, generator=draw, dtype=torch.float64)
    if logits is None:
        logits = torch.randn(N, classes, generator=draw, dtype=torch.float64)
    return Ridge(design, logits, labels, weight / weight.sum(), ridge, rows)


def written_out(loss, coefficients):
    """The loss by torch's own cross entropy."""
    fixed = loss.logits.shape[1] - loss.rows
    logits = loss.logits + F.pad(loss.design @ coefficients.t(), (fixed, 0))
    each = F.cross_entropy(logits, loss.labels, reduction="none")
    return loss.weight @ each + loss.ridge / 2 * coefficients[:, :-1].square().sum()


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_derivatives_are_autograds(rows):
    """Value, gradient and Hessian product are those of the loss written out, whichever rows are refitted."""
    loss = problem(rows)
    draw = torch.Generator().manual_seed(5)
    here, direction = (torch.randn(rows, D + 1, generator=draw, dtype=torch.float64) for _ in range(2))
    point = loss.at(here)
    assert point.value == pytest.approx(float(written_out(loss, here)), rel=1e-12)
    _, gradient = torch.autograd.functional.vjp(lambda c: written_out(loss, c), here)
    torch.testing.assert_close(point.gradient, gradient)
    _, bent = torch.autograd.functional.hvp(lambda c: written_out(loss, c), here, direction)
    torch.testing.assert_close(loss.curvature(point.chances, direction), bent)


def test_all_rows_reach_scikit_learns_optimum():
    """From logits of 0 it is weighted multinomial logistic regression with C = 1 / ridge."""
    loss = problem(4, torch.zeros(N, 4, dtype=torch.float64))
    theirs = LogisticRegression(C=1 / loss.ridge, tol=1e-10, max_iter=10_000)
    theirs.fit(loss.design[:, :-1].numpy(), loss.labels.numpy(), loss.weight.numpy())
    mine = minimise(loss, 1e-9)
    torch.testing.assert_close(mine[:, :-1], torch.from_numpy(theirs.coef_), rtol=1e-4, atol=1e-5)


def test_one_row_reaches_scikit_learns_optimum():
    """One of two logits refitted is binary logistic regression."""
    loss = problem(1, torch.zeros(N, 2, dtype=torch.float64), classes=2)
    theirs = LogisticRegression(C=1 / loss.ridge, tol=1e-10, max_iter=10_000)
    theirs.fit(loss.design[:, :-1].numpy(), loss.labels.numpy(), loss.weight.numpy())
    mine = minimise(loss, 1e-9)
    torch.testing.assert_close(mine[:, :-1], torch.from_numpy(theirs.coef_), rtol=1e-4, atol=1e-5)
    assert float(mine[0, -1]) == pytest.approx(theirs.intercept_[0], rel=1e-4)


@pytest.mark.parametrize("rows", [1, 4])
def test_the_optimum_beside_given_logits_has_no_gradient(rows):
    """Where an original is there already the gradient vanishes, and a random step from there costs."""
    loss = problem(rows)
    found = minimise(loss, 1e-9)
    point = loss.at(found)
    assert point.gradient.norm() <= 1e-9 * loss.at(loss.origin).gradient.norm()
    step = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert all(loss.at(found + size * step).value > point.value for size in (-0.01, 0.01))


def test_float32_stops_where_float64_does():
    """Single precision finds the same coefficients up to its rounding."""
    loss = problem(4)
    single = {name: getattr(loss, name).float() for name in ("design", "logits", "weight")}
    found = minimise(dataclasses.replace(loss, **single), 1e-5)
    torch.testing.assert_close(found, minimise(loss, 1e-9), rtol=1e-3, atol=1e-4)


def test_a_large_ridge_keeps_the_original():
    """The penalty is on the distance: weights stay at 0 and only the free constant moves."""
    found = minimise(problem(4, ridge=1e6), 1e-9)
    assert found[:, :-1].abs().max() < 1e-6
    assert found[:, -1].abs().max() > 1e-3


def test_separable_samples_end():
    """Without a finite optimum and almost no ridge the steps are bounded and the result is finite."""
    loss = problem(4, ridge=1e-12)
    design = torch.cat([loss.design, F.one_hot(loss.labels).double()], 1).flip(1)
    found = minimise(dataclasses.replace(loss, design=design))
    assert found.isfinite().all()
    assert loss.at(loss.origin).value > 10 * dataclasses.replace(loss, design=design).at(found).value
