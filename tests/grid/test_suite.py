"""Suite files and flags: what is accepted, what is refused, and how the two combine."""

from pathlib import Path

import pytest

from tunebench import UsageError
from tunebench.grid.plan import Plan
from tunebench.grid.suite import Suite, embedded_text, load_suite, parse_suite, seconds_of
from tunebench.plugins import load_registry
from tunebench.selection.budgets import Floor


def test_the_embedded_suite():
    """Without a file and flags the digits suite runs: both networks, every tuner, 3 seeds, 15 trials, 1 point of OA."""
    suite = load_suite(None, {})
    assert suite == Suite(name="digits", models=("model1", "model2"), trials=15, budget=1.0, recipe="quick")
    assert parse_suite(embedded_text(), "embedded") == suite


def test_flags_override_the_file(tmp_path):
    """A flag that was given wins; one that was not leaves the file's value, also when it is empty."""
    path = tmp_path / "suite.toml"
    path.write_text('name = "mine"\ndatasets = ["mnist"]\ntargets = [5, "weakest"]\nbudget = 1\nseeds = 7\n')
    suite = load_suite(path, {"seeds": 2, "trials": None, "models": ()})
    assert suite == Suite(name="mine", datasets=("mnist",), targets=("5", "weakest"), budget=1.0, seeds=2)


def test_a_floor_and_a_confidence_in_a_file(tmp_path):
    """``recall`` and ``confidence`` mean what the flags of that name do, and the flags win."""
    path = tmp_path / "suite.toml"
    path.write_text("recall = 0.95\nconfidence = 0.8\n")
    assert load_suite(path, {}) == Suite(recall=0.95, confidence=0.8)
    assert load_suite(path, {"recall": 0.9, "confidence": 0.99}) == Suite(recall=0.9, confidence=0.99)
    options = Plan(load_suite(path, {}), load_registry(), {}, {}, []).options()
    assert (options.demand, options.confidence) == (Floor(0.95), 0.8)


def test_naming_a_data_set_leaves_the_embedded_rules_behind():
    """``-d mnist`` has the documented defaults, not the digits suite's budget and recipe."""
    suite = load_suite(None, {"datasets": ("mnist",)})
    assert suite == Suite(name="mnist", datasets=("mnist",))
    assert load_suite(None, {"datasets": ("npz:a/b.npz",)}).name == "npz-a-b.npz"
    assert load_suite(None, {"datasets": ("digits",), "models": ("model1",)}).budget == 1.0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("sedes = 3", "unknown key 'sedes'; did you mean seeds"),
        ("seeds = 0", "seeds is 0; give at least 1"),
        ("seeds = true", "seeds has to be int, not True"),
        ('seeds = "3"', "seeds has to be int"),
        ("trials = 1", "trials is 1; give at least 2"),
        ("budget = -0.1", "budget is -0.1; give percentage points"),
        ("budget = nan", "budget is nan"),
        ("recall = 1.5", "recall is 1.5"),
        ("recall = 0", "recall is 0"),
        ('recall = "0.95"', "recall has to be float"),
        ("confidence = 0.5", "confidence is 0.5"),
        ("confidence = 1", "confidence is 1"),
        ("confidence = 90", "confidence is 90"),
        ("confidence = nan", "confidence is nan"),
        ('protocol = "own"', "unknown protocol 'own'"),
        ("max_hidden = 0", "max_hidden is 0; give at least 1"),
        ("max_hidden = 1.5", "max_hidden has to be int, not 1.5"),
        ("max_steps = 0", "max_steps is 0; give at least 1"),
        ("max_new_params = -1", "max_new_params is -1; give 0 or more"),
        ("max_weight = 0", "max_weight is 0.0; give the largest size"),
        ("max_weight = nan", "max_weight is nan"),
        ('synapse_layers = "first"', "synapse_layers is 'first'; name hidden layers"),
        ("synapse_layers = 1", "synapse_layers has to be str, not 1"),
        ("protect = [1.5]", "protect has to be a list of names"),
        ('protocol = "papr"', "unknown protocol 'papr'; did you mean paper"),
        ('recipe = "qick"', "unknown recipe 'qick'; did you mean quick"),
        ('margin = "2se"', "unknown margin '2se'; did you mean 1se"),
        ('timeout = "soon"', "'soon' is not a duration; write 90s, 10m or 2h"),
        ('timeout = "0s"', "is not a duration"),
        ("models = []", "models is empty"),
        ("models = [1.5]", "models has to be a list of names"),
        ('name = "../up"', "names the run folder"),
        ('name = ""', "names the run folder"),
        ("name = [", "not valid TOML"),
    ],
)
def test_bad_suites_say_what_is_wrong(text, fault):
    """Each fault of a suite file is one line that names it."""
    with pytest.raises(UsageError, match=fault) as error:
        parse_suite(text, "suite.toml")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path):
    """A suite that is not there, or not text, is named."""
    with pytest.raises(UsageError, match=r"cannot read the suite .*none\.toml: No such file"):
        load_suite(tmp_path / "none.toml", {})
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot read the suite"):
        load_suite(tmp_path / "bad.toml", {})
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        load_suite(Path("/dev/zero"), {})


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("7", 7), (" 2 m ", 120)])
def test_durations(text, seconds):
    """Seconds, minutes and hours as people write them."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "leaderboards").glob("*/suite.toml")), ids=str)
def test_committed_suites_are_sound(path):
    """Every suite of a published board is read without a flag, and is called like its folder."""
    assert load_suite(path, {}).name == path.parent.name
