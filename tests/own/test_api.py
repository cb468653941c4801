"""``tunebench.tune`` and ``tunebench.tune_logits``: the same from Python, without files."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from user import ORDER

import tunebench
from tunebench import DataError, UsageError

EIGHT = ORDER.index("eight")


@pytest.fixture(scope="module")
def data(home):
    """Training and held-out samples as tensors."""
    return tuple((torch.from_numpy(x).float() / 255, torch.from_numpy(y)) for x, y in (home.fit, home.held))


def accuracy(model, data, only=None):
    """OA of a network, or TA with ``only`` the target."""
    x, y = data
    with torch.no_grad():
        right = model(x).argmax(1) == y
    return float((right if only is None else right[y == only]).double().mean())


def test_a_better_copy_comes_back(home, data, tmp_path, monkeypatch):
    """The model that comes back has the figures of the report; hers is as it was, and no file is written."""
    monkeypatch.chdir(tmp_path)
    before = {key: value.clone() for key, value in home.model.state_dict().items()}
    found = tunebench.tune(home.model, *data, target="eight", names=ORDER, budget=1.0, tuners=["logit-bias"])
    assert found.report["tuned"]["ta"] == pytest.approx(accuracy(found.model, data[1], EIGHT))
    assert found.report["tuned"]["oa"] == pytest.approx(accuracy(found.model, data[1]))
    assert found.report["tuned"]["ta"] >= found.report["original"]["ta"]
    assert all(torch.equal(before[key], value) for key, value in home.model.state_dict().items())
    assert list(tmp_path.iterdir()) == []
    saved = found.save(tmp_path / "out")
    assert [path.name for path in saved] == ["tuned.safetensors"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "tuned.safetensors",
        "report.json",
        "report.md",
        "index.html",
    }


def test_onnx_from_python(home, data, tmp_path):
    """The file gives the logits of the network that came back, and the rest of what `save` writes lies beside it."""
    onnxruntime = pytest.importorskip("onnxruntime")
    found = tunebench.tune(home.model, *data, target=EIGHT, budget=1.0, tuners=["logit-bias"])
    path = found.to_onnx(tmp_path)
    assert path == tmp_path / "tuned.onnx"
    (logits,) = onnxruntime.InferenceSession(str(path)).run(None, {"input": data[1][0].numpy()})
    with torch.no_grad():
        assert np.allclose(logits, found.model(data[1][0]).numpy(), atol=1e-4)
    assert {path.name for path in tmp_path.iterdir()} == {
        "tuned.onnx", "tuned.safetensors", "report.json", "report.md", "index.html",
    }  # fmt: skip


def test_arrays_loaders_and_data_sets_are_the_same(home, data):
    """Tensors, numpy arrays, a data set and a loader of the same samples give the same report."""
    x, y = data[1]
    forms = [
        (x, y), (x.numpy(), y.numpy()), TensorDataset(x, y), DataLoader(TensorDataset(x, y), batch_size=100),
    ]  # fmt: skip
    reports = [tunebench.tune(home.model, None, form, EIGHT, tuners=["logit-bias"]).report for form in forms]
    assert all(report["tuned"] == reports[0]["tuned"] for report in reports)
    assert "fit on 449 samples, chosen on 448" in reports[0]["data"]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"target": 10}, UsageError, "has classes 0 to 9"),
        ({"names": ["one", "two", "three"]}, UsageError, "there are 3 names, the network has 10 outputs"),
        ({"valid": (torch.full((90, 1, 8, 8), torch.nan), torch.arange(90) % 10)}, DataError, "NaN or infinite"),
        ({"valid": (torch.zeros(90, 1, 8, 8), torch.eye(10).repeat(9, 1))}, DataError, "one column per class"),
        ({"train": (torch.zeros(90, 1, 4, 4), torch.arange(90) % 10)}, DataError, r"\(1, 4, 4\) in train"),
        ({"target": "ate", "names": ORDER}, UsageError, "unknown class 'ate'"),
        ({"tuners": ["nope"]}, UsageError, "unknown tuner 'nope'"),
        ({"valid": (torch.zeros(4, 1, 8, 8), torch.zeros(3))}, DataError, "4 inputs and 3 labels"),
        ({"valid": [1, 2, 3]}, DataError, "cannot be read as samples"),
        ({"valid": (np.zeros((2, 1, 8, 8)), np.array(["a", "b"]))}, DataError, "valid holds no numbers"),
        ({"train": (np.array([["a"], ["b"]]), np.array([0, 1]))}, DataError, "train holds no numbers"),
        ({"valid": (torch.zeros(1, 1, 8, 8), torch.tensor(3))}, DataError, r"inputs \(1, 1, 8, 8\) and labels \(\)"),
        ({"valid": (torch.zeros(40, 3, 8, 8), torch.arange(40) % 10)}, UsageError, "input channels"),
        ({"valid": (torch.zeros(90, 1, 8, 8), torch.arange(90) % 30)}, DataError, "the network has 10 outputs"),
        ({"valid": (torch.zeros(20, 1, 8, 8), torch.arange(20) % 10)}, DataError, "give at least 5"),
    ],
)
def test_what_does_not_fit_is_told(home, data, change, error, said):
    """Each fault in one line."""
    given = {"model": home.model, "train": None, "valid": data[1], "target": EIGHT, **change}
    with pytest.raises(error, match=said):
        tunebench.tune(**given)


def test_logits_that_are_no_numbers(home, data):
    """A network that gives NaN for what it was not trained on is told before a tuner runs, from Python too."""
    model = home.module.Daylight()
    model.load_state_dict(home.model.state_dict())
    with pytest.raises(DataError, match="NaN or infinite logits for 449 of 449 samples to fit on"):
        tunebench.tune(model, None, data[1], EIGHT)


def test_a_class_with_a_single_sample(home, data):
    """Samples that cannot be split by class certify nothing; the comparison goes on without."""
    x, y = data[1]
    keep = (y != 1) | ((y == 1).cumsum(0) * (y == 1) == 1)
    report = tunebench.tune(home.model, data[0], (x[keep], y[keep]), EIGHT, tuners=["logit-bias"]).report
    assert report["tuned"]["ta"] > report["original"]["ta"]
    assert report["certificate"] is None


def test_logits_alone(home, data):
    """The vector raises the class within the budget, for logits and for log-probabilities alike."""
    x, y = data[1]
    with torch.no_grad():
        logits = home.model(x)
    for scores in (logits, logits.log_softmax(1).numpy()):
        bias = tunebench.tune_logits(scores, y, EIGHT, budget=1.0)
        assert np.flatnonzero(bias).tolist() in ([], [EIGHT])
        after = (torch.as_tensor(np.asarray(scores)) + torch.from_numpy(bias)).argmax(1)
        assert float((after == y)[y == EIGHT].double().mean()) > accuracy(home.model, data[1], EIGHT)
        assert int((after == y).sum()) >= int((logits.argmax(1) == y).sum()) - len(y) // 100
    assert tunebench.tune_logits(torch.eye(10)[y], y, EIGHT).tolist() == [0.0] * 10


def most_hits(scores, y, allowed):
    """Most samples of class 0 that a bias on it gets right while at most ``allowed`` are lost, over all biases."""
    breaks = np.unique(scores[:, 1:].max(1) - scores[:, 0])
    breaks = breaks[np.isfinite(breaks)]
    biases = [0.0, *breaks - 1e-6, *breaks + 1e-6]
    right = [
        np.where(scores[:, 0] + bias > scores[:, 1:].max(1), 0, scores[:, 1:].argmax(1) + 1) == y for bias in biases
    ]
    return max(int(now[y == 0].sum()) for now in right if now.sum() >= right[0].sum() - allowed)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(5))
def test_the_logarithm_of_nothing_stays(seed):
    """Votes of 20 trees, many of them 0 or 1: -inf is moved by no bias, and the best of all biases is found."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 300)
    shares = rng.dirichlet((0.3, 0.3, 0.3), 300) * 0.6
    shares[np.arange(300), y] += 0.4 * (rng.random(300) < 0.7)
    votes = np.stack([rng.multinomial(20, row / row.sum()) for row in shares])
    with np.errstate(divide="ignore"):
        scores = np.log(votes / 20)
    scores[np.isfinite(scores)] += 1e-3 * rng.random(int(np.isfinite(scores).sum()))  # no ties
    bias = tunebench.tune_logits(scores, y, 0, budget=2)
    assert (np.isinf(scores).any(0).all(), np.isfinite(bias).all()) == (True, True)
    after, before = (scores + bias).argmax(1) == y, scores.argmax(1) == y
    assert after.sum() >= before.sum() - 6
    assert after[y == 0].sum() == most_hits(scores, y, 6) > before[y == 0].sum()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"budget": float("nan")}, UsageError, "budget is nan"),
        ({"budget": -1}, UsageError, "budget is -1"),
        ({"logits": np.zeros((0, 2)), "y": np.zeros(0)}, DataError, "N above 0"),
        ({"logits": [[np.inf, 0.0], [0.0, 1.0]]}, DataError, "NaN or inf"),
        ({"logits": [[np.nan, 0.0], [0.0, 1.0]]}, DataError, "NaN or inf"),
        ({"logits": [[-np.inf, -np.inf], [0.0, 1.0]]}, DataError, "-inf for every class"),
        ({"logits": [[0.0, 1.0], [0.0]]}, DataError, "list holds no numbers"),
        ({"y": ["a", "b"]}, DataError, "list holds no numbers"),
        ({"y": [0, 2]}, DataError, "labels go from 0 to 2, there are 2 columns"),
        ({"target": 2}, UsageError, "there are classes 0 to 1"),
    ],
)
def test_scores_that_mean_nothing_are_refused(change, error, said):
    """Each fault in one line."""
    with pytest.raises(error, match=said):
        tunebench.tune_logits(**{"logits": [[1.0, 0.0], [0.0, 1.0]], "y": [0, 1], "target": 0, **change})


class Fails(nn.Module):
    """Logits that an edit cannot move far: they are clipped, but not where noise looks."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        """Logits (N, C)."""
        return self.model(x).clamp(max=float(self.model(x).max()) - 1e-3)


def test_a_tuner_that_fails_is_a_line(home, data):
    """One tuner's error does not end the others; whole budgets are budgets too."""
    found = tunebench.tune(home.model, *data, EIGHT, budget=2, tuners=["logit-bias"])
    assert found.report["budget"] == 2.0
    report = tunebench.tune(Fails(home.model), *data, EIGHT, tuners=["logit-bias", "last-layer"]).report
    assert {line["tuner"] for line in report["candidates"]} == {"original", "logit-bias", "last-layer"}


def test_the_names_are_there_without_torch():
    """Asking for the package does not import torch; asking for `tune` does."""
    code = "import sys, tunebench; assert 'torch' not in sys.modules; tunebench.tune; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
