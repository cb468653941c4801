"""Searches kept as Optuna studies."""

import optuna
import pytest

from tunebench.errors import UsageError
from tunebench.grid import studies
from tunebench.results.store import Store


def test_every_search_is_a_study(digits_run, tmp_path):
    """One per cell, with the trials, hyperparameters and scores of its record; a second time replaces them."""
    storage = studies.opened(f"sqlite:///{tmp_path / 'studies.db'}")
    cells = [cell for cell, _ in Store(digits_run).cells()]
    for _ in range(2):
        assert studies.keep(digits_run, storage) == len(cells)
        assert len(optuna.get_all_study_names(storage)) == len(cells)
    cell = next(cell for cell in cells if cell.tuner == "cw-p")
    history = Store(digits_run).get("cells", cell)["history"]
    study = optuna.load_study(study_name=cell.path.with_suffix("").as_posix(), storage=storage)
    assert [trial.params for trial in study.trials] == [step["params"] for step in history]
    assert [trial.values for trial in study.trials] == [step["score"][:2] for step in history]
    assert study.metric_names == studies.METRICS


def test_values_that_a_tuner_no_longer_searches_are_left_out(digits_run, tmp_path):
    """A range that became narrower, and a hyperparameter that is gone: the rest of the history is kept."""
    cell = next(cell for cell, _ in Store(digits_run).cells() if cell.tuner == "cw-p")
    record = Store(digits_run).get("cells", cell)
    shares = sorted(step["params"]["share"] for step in record["history"] if "share" in step["params"])
    narrow = {"share": optuna.distributions.FloatDistribution(0.0, shares[0])}
    kept = list(studies.trials_of(record, narrow))
    assert len(kept) == len(record["history"])
    assert [trial.params["share"] for trial in kept if trial.params] == shares[:1]


def test_a_wrong_address_is_told_at_the_door(tunebench, tmp_path):
    """Before anything is computed, in one line, with what to write instead."""
    with pytest.raises(UsageError, match="give a URL such as"):
        studies.opened("nonsense://here")
    done = tunebench("run", "-q", "-o", tmp_path / "out", "--optuna-storage", "nonsense://here")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert not (tmp_path / "out").exists()
