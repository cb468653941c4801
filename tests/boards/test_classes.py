"""Who pays for compression: contrasts of classes against closed forms, the page, and the committed board's limits."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

BOARD = Path(__file__).parents[2] / "leaderboards" / "compressed"
CLASSES = runpy.run_path(str(BOARD / "classes.py"))


@pytest.fixture(scope="module")
def committed():
    """The networks of the committed board, by name."""
    return CLASSES["networks_of"](BOARD)


def test_a_contrast_is_welchs():
    """One class less another: the difference of means, and the unpooled standard error."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [40, 90])
    changes = rng.integers(-1, 2, 130).astype(float)
    found = CLASSES["contrast"](changes, labels, np.array([1.0, -1.0]))
    first, second = changes[labels == 0], changes[labels == 1]
    assert found.value == pytest.approx(100 * (first.mean() - second.mean()))
    welch = stats.ttest_ind(first, second, equal_var=False)
    assert found.half == pytest.approx(CLASSES["Z"] * abs(found.value / welch.statistic))


def test_the_slope_is_that_of_least_squares():
    """What a class loses more that starts ten points lower; the weights of one class less the others add up to zero."""
    start, changes = np.array([0.9, 0.7, 0.85, 0.95]), np.array([-0.01, -0.05, -0.02, 0.0])
    weights = CLASSES["ten_points_weaker"](start)
    assert weights @ changes == pytest.approx(-0.1 * stats.linregress(start, changes).slope)
    assert weights @ changes < 0
    against = CLASSES["against_others"](4, 1)
    assert against @ changes == pytest.approx(-0.05 + 0.01)
    assert against.sum() == pytest.approx(0)


def test_the_page_of_a_run(tunebench, tmp_path):
    """A row for every compression, and what tuners give back; a dash where a tuner cannot work."""
    models = [text for name in ("mlp:16", "mlp:16+prune", "mlp:16+int8") for text in ("-m", name)]
    tuners = [text for name in ("original", "logit-bias", "continue-training") for text in ("-t", name)]
    done = tunebench("run", "-d", "digits", *models, *tuners, "--target", "8", "--trials", "2", "--max-steps", "20",
                     "--seeds", "1", "-q", "-o", tmp_path)  # fmt: skip
    assert done.code == 0, done.err
    page = CLASSES["render"](tmp_path)
    paid, back = page.split("\n## ")[1:]
    assert paid.startswith("What compressing mlp:16 does")
    rows = {line.split("|")[1].strip(): line for line in paid.splitlines() if line.startswith("|")}
    assert {"int8", "prune", "mean"} <= rows.keys()
    networks = CLASSES["networks_of"](tmp_path)
    before, after = networks["mlp:16"], networks["mlp:16+prune"]
    assert f"| {100 * (after.right.mean() - before.right.mean()):+.2f} |" in rows["prune"].replace("   ", " ").replace(
        "  ", " "
    )
    trained = next(line for line in back.splitlines() if line.startswith("| continue-training"))
    assert [text.strip() for text in trained.split("|")].count("-") == 1


def test_the_committed_page_is_made_from_its_cells():
    """classes.md is what the script writes today."""
    assert (BOARD / "classes.md").read_text("utf-8") == CLASSES["render"](BOARD)


def test_every_compression_is_within_its_limit(committed):
    """OA on test within 2 points of the original's at the default setting, of binary within 6."""
    beyond = set()
    for network in committed.values():
        parent, how = network.parts
        if 100 * (committed[parent].right.mean() - network.right.mean()) > (6 if how == "binary" else 2):
            beyond.add(network.name)
    assert beyond == set()


@pytest.mark.parametrize("parent", ["lenet", "model1"])
def test_every_compression_saves_what_it_says(committed, parent):
    """int8 at most 0.30 of the bytes, prune at most 0.12 of the numbers, amc half of the FLOPs or up to 2 % fewer."""
    cost = {how: committed[f"{parent}+{how}"].cost for how in ("int8", "prune", "amc")}
    before = committed[parent].cost
    assert cost["int8"]["bytes"] <= 0.30 * before["bytes"]
    assert cost["prune"]["params"] <= 0.12 * before["params"]
    assert 0.98 <= cost["amc"]["flops"] / (0.5 * before["flops"]) <= 1
