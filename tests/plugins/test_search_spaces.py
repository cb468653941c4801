"""The documented search spaces are the registered ones."""

from pathlib import Path

import pytest
import tunebench_baseline
import tunebench_calibration
import tunebench_finetune
import tunebench_lift
import tunebench_pruning
import tunebench_refit
import tunebench_synapse
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

FAMILIES = (
    tunebench_baseline,
    tunebench_calibration,
    tunebench_finetune,
    tunebench_lift,
    tunebench_pruning,
    tunebench_refit,
    tunebench_synapse,
)
DOCUMENT = Path(__file__).parents[2] / "docs" / "search-spaces.md"
KINDS = {"float": (FloatDistribution, float), "int": (IntDistribution, int)}


def documented():
    """The rows of the table as {(tuner, hyperparameter): distribution}, None for an empty space."""
    lines = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("|")]
    spaces = {}
    for line in lines[2:]:
        tuner, name, kind, low, high, scale, why = (cell.strip() for cell in line.strip("|").split("|"))
        assert why
        assert (tuner, name) not in spaces
        spaces[tuner, name] = distribution(kind, low, high, scale)
    return spaces


def distribution(kind, low, high, scale):
    """What a row says of one hyperparameter; a choice has its two values in place of both ends."""
    if kind == "-":
        return None
    if kind == "choice":
        return CategoricalDistribution((low, high))
    cls, number = KINDS[kind]
    return cls(number(low), number(high), log=scale == "log")


def registered():
    """The same from the tuners of all bundled families."""
    spaces = {}
    for family in FAMILIES:
        for tuner in family.tunebench_tuners():
            space = tuner.search_space()
            spaces |= {(tuner.name, name): value for name, value in space.items()} or {(tuner.name, "-"): None}
    return spaces


def test_the_table_is_what_is_registered():
    """Every tuner, hyperparameter, range and scale of the documentation is in the code; none is missing."""
    assert documented() == registered()


def test_the_table_is_sorted():
    """Rows stand in the order in which a reader looks for them: by tuner, then by hyperparameter."""
    assert list(documented()) == sorted(documented())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_names_and_steps_keep_to_the_house_rules(family):
    """Names are slugs, and no tuner searches beyond 2,000 steps."""
    for tuner in family.tunebench_tuners():
        assert tuner.name == tuner.name.lower()
        assert tuner.name.replace("-", "").isalnum()
        steps = tuner.search_space().get("steps")
        assert steps is None or steps.high <= 2000
