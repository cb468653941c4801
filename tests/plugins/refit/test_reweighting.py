"""AFR and DFR, the published refits of the output layer: against their formulas, and what they may look at."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from digits import digits_task, tuned
from sklearn.linear_model import LogisticRegression
from tunebench_refit.all_rows import AutomaticFeatureReweighting, unsure
from tunebench_refit.dfr import DeepFeatureReweighting, balanced, half, lasso
from tunebench_refit.softmax import Ridge

AFR, DFR = AutomaticFeatureReweighting(), DeepFeatureReweighting()
PARAMS = {"n": 4, "gamma": 4.0, "C": 0.3, "lambda": 3.0, "l2": 1e-3}


@pytest.mark.parametrize("tuner", [AFR, DFR], ids=lambda tuner: tuner.name)
def test_the_output_layer_alone_moves(tuner):
    """All other layers are bitwise as before, and the architecture is the original's."""
    task = digits_task()
    model = tuned(tuner, task, PARAMS)
    for name, value in model.state_dict().items():
        assert torch.equal(value, task.model.state_dict()[name]) != name.startswith("5."), name


def test_afr_weights_follow_the_formula():
    """beta_y exp(-gamma p_true) sample by sample, with beta one over the class's size and lambda on the target."""
    task = digits_task()
    weight = unsure(task, 3.0, 4.0)
    chances = task.logits_train.double().softmax(1)
    for k in range(0, 1200, 97):
        label = int(task.y_train[k])
        beta = (3.0 if label == 8 else 1.0) / int((task.y_train == label).sum())
        assert float(weight[k]) == pytest.approx(beta * 2.718281828 ** (-4.0 * float(chances[k, label])), rel=1e-5)


def overlapping():
    """300 samples of three classes, five features and a constant, float64; an odd number makes the optimum unique."""
    draw = torch.Generator().manual_seed(2)
    labels = torch.randint(3, (300,), generator=draw)
    centres = torch.randn(3, 5, generator=draw, dtype=torch.float64)
    features = centres[labels] + 2 * torch.randn(300, 5, generator=draw, dtype=torch.float64)
    weight = torch.where(labels == 1, 3.0, 1.0).double()
    return F.pad(features, (0, 1), value=1.0), labels, weight


@pytest.mark.parametrize("c", [0.02, 0.3])
def test_lasso_is_scikit_learns_l1_regression(c):
    """The same coefficients, zeros included, as LogisticRegression with an L1 penalty and this C."""
    design, labels, weight = overlapping()
    theirs = LogisticRegression(C=c, l1_ratio=1.0, solver="saga", tol=1e-8, max_iter=20_000)
    theirs.fit(design[:, :-1].numpy(), labels.numpy(), weight.numpy())
    total = float(weight.sum())
    loss = Ridge(design, torch.zeros(300, 3, dtype=torch.float64), labels, weight / total, 0.0, 3)
    mine = lasso(loss, 1 / (c * total), loss.origin)
    wanted = torch.from_numpy(theirs.coef_)
    assert float((mine[:, :-1] - wanted).norm()) < 1e-3 * float(wanted.norm())
    assert torch.equal(mine[:, :-1] == 0, wanted.abs() < 1e-6)


def test_samples_are_balanced_and_drawn_anew():
    """As many of every class as the rarest has, without repeats, other ones every time, and the seed decides."""
    labels = torch.tensor([0] * 30 + [1] * 7 + [4] * 12)
    draws = list(balanced(labels, 3, seed=0))
    for rows in draws:
        assert torch.bincount(labels[rows]).tolist() == [7, 7, 0, 0, 7]
        assert len(rows.unique()) == 21
    assert not torch.equal(draws[0].sort().values, draws[1].sort().values)
    assert all(torch.equal(a, b) for a, b in zip(draws, balanced(labels, 3, seed=0), strict=True))


def test_half_of_every_class_is_held_out():
    """Half of each class, the larger one where the number is odd; the seed decides which."""
    labels = torch.arange(5).repeat_interleave(torch.tensor([1, 2, 7, 20, 40]))
    rows = half(labels, seed=0)
    assert torch.bincount(labels[rows]).tolist() == [1, 1, 4, 10, 20]
    assert torch.equal(rows, half(labels, seed=0))
    assert not torch.equal(rows, half(labels, seed=1))


def test_dfr_fits_anew_instead_of_near_the_original():
    """A small C leaves a sparse layer that owes nothing to the original's weights."""
    task = digits_task()
    fitted = tuned(DFR, task, PARAMS | {"C": 0.05})[-1].weight.detach()
    lively = task.hidden_train[:, 32:].std(0) > 0
    assert float((fitted[:, lively].abs() < 1e-5).double().mean()) > 0.5
    assert fitted[:, lively].abs().max() > 1e-3


def test_dfr_needs_an_output_layer_of_its_own():
    """Logits that something follows the last layer in have no numbers to fit anew: a reason, not a failure."""
    task = digits_task()
    odd = dataclasses.replace(task, model=torch.nn.Sequential(*task.model, torch.nn.Softplus()))
    assert "no output layer" in DFR.skip(odd)
