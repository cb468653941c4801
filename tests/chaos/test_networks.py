"""A grid over every kind of network: slow, because some of them are large."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import run_command
from sklearn.datasets import load_digits

from tunebench.plugins import load_registry

NETWORKS = Path(__file__).parents[1] / "networks"
sys.path.append(str(NETWORKS))
from zoo import ZOO  # noqa: E402

TUNERS = sorted(load_registry().tuners)
PLUGIN = f"""
import sys
sys.path.append({str(NETWORKS)!r})
from zoo import ZOO  # noqa: E402
from tunebench import hookimpl


@hookimpl
def tunebench_models():
    return ZOO.values()
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A few hundred of scikit-learn's digits as images."""
    x, y = load_digits(return_X_y=True)
    folder = tmp_path_factory.mktemp("digits")
    images = x.reshape(-1, 1, 8, 8).astype(np.float32)
    np.savez(folder / "few.npz", x_train=images[:400], y_train=y[:400], x_test=images[400:600], y_test=y[400:600])
    return folder / "few.npz"


@pytest.mark.parametrize("name", ZOO)
def test_every_network_runs_a_grid(name, digits, tmp_path):
    """No cell of any bundled tuner ends in an error; what does not apply to a network is skipped with a reason."""
    plugin = tmp_path / "networks.py"
    plugin.write_text(PLUGIN)
    given = [part for tuner in TUNERS for part in ("-t", tuner)]
    done = run_command(
        "run", "-d", f"npz:{digits}", "-m", f"zoo-{name}", *given, "--target", "8", "--seeds", "1", "--trials", "2",
        "--budget", "1.0", "--recipe", "quick", "-j", "1", "-q", "--no-latency",
        "-o", tmp_path / "out", "--plugin", plugin,
    )  # fmt: skip
    assert done.code == 0, done.out + done.err
    rows = json.loads((tmp_path / "out" / "leaderboard.json").read_text())["rows"]
    status = {row["tuner"]: row["status"] for row in rows}
    assert set(status) == set(TUNERS)
    assert set(status.values()) <= {"ok", "skipped"}
    assert {status[t] for t in ("original", "logit-bias", "weighted-finetune")} == {"ok"}
    assert status["smvt-sj"] == ("skipped" if name == "lstm" else "ok")
