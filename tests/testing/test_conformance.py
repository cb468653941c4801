"""The conformance kit: every bundled tuner passes, and every broken one fails the check that is meant for it."""

from __future__ import annotations

import copy
import random
import textwrap
import warnings

import broken_tuners as broken
import pytest
import rule_breakers as rules
import torch
import tunebench_finetune
import tunebench_pruning
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tunebench import LogitEdit
from tunebench.cli import main
from tunebench.networks.edits import fold
from tunebench.plugins import load_registry
from tunebench.testing import CHECKS, KINDS, Subject, run_checks, small_task
from tunebench.testing.points import corners, middle

pytest_plugins = ["pytester"]
SLOW = {tuner.name for tuner in (*tunebench_finetune.tunebench_tuners(), *tunebench_pruning.tunebench_tuners())}
"""Tuners that train; tests/chaos checks them."""
BUNDLED = [name for name in load_registry().tuners if name not in SLOW]

BROKEN = [
    ("name", broken.Shouts),
    ("name", broken.StealsAName),
    ("output", broken.ReturnsLogits),
    ("output", broken.ReturnsNan),
    ("output", broken.WrongShape),
    ("output", broken.DoublePrecision),
    ("output", broken.Raises),
    ("output", broken.SkipsEverything),
    ("output", rules.Frozen),
    ("device", broken.DropsAClass),
    ("device", broken.ElsewhereOnMeta),
    ("search-space", broken.ListSpace),
    ("search-space", broken.PlainNumbers),
    ("search-space", broken.FailsAtTheEdge),
    ("search-space", rules.ChoiceOfTuples),
    ("search-space", rules.ChoiceOfNumpyNumbers),
    ("deterministic", broken.OwnDice),
    ("deterministic", broken.CountsTrials),
    ("independent-trials", broken.ReusesItsBuffer),
    ("inputs-unchanged", broken.TrainsTheOriginal),
    ("inputs-unchanged", broken.NormalisesTheData),
    ("inputs-unchanged", broken.LeavesTrainingMode),
    ("no-shared-storage", broken.ReturnsTheOriginal),
    ("no-shared-storage", broken.WrapsTheOriginal),
    ("eval-mode", broken.ForgetsEval),
    ("batch-size", broken.BatchStatistics),
    ("no-graph", broken.KeepsTheGraph),
    ("no-graph", broken.LeavesGradients),
    ("no-graph", broken.EnablesGradients),
    ("export", broken.LocalClass),
    ("export", broken.LooseTensor),
    ("folded", rules.GatesItsEdit),
    ("scalable", rules.ScalesANetwork),
    ("limits", rules.JoinsEveryLayer),
    ("limits", rules.AddsTwo),
    ("limits", rules.HonoursAWish),
    ("skip", rules.SkipsWithTrue),
    ("skip", rules.SkipsSilently),
    ("skip", rules.SkipRaises),
    ("two-classes", rules.AtLeastThreeClasses),
    ("47-classes", rules.TenClassesOnly),
    ("never-predicted", rules.PrecisionOfNothing),
    ("perfect-model", rules.MeanOfMistakes),
    ("two-targets", rules.OneTargetOnly),
    ("global-rng", rules.SeedsEverything),
    ("global-rng", rules.ShufflesWithRandom),
    ("global-settings", rules.TakesAllThreads),
    ("warnings", rules.SilencesWarnings),
    ("cell", rules.NumpyInItsRays),
    ("cell", rules.ChoiceWithAControl),
    ("cell", rules.TuplesInItsRays),
    ("cell", rules.BeyondEveryNumber),
    ("cell", rules.FailsInside),
    ("cell", rules.CountsPreparations),
]
"""The check that has to find each."""


def failures(tuner: object) -> dict[str, str]:
    """Failed checks and what they say."""
    return {r.check: r.text for r in run_checks(Subject(tuner, "cpu")) if r.status == "FAILED"}


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_tuners_pass(name):
    """A bundled tuner passes every check, and none is left out."""
    results = list(run_checks(Subject(load_registry().tuner(name), "cpu")))
    assert [r for r in results if r.status != "ok"] == []
    assert [r.check for r in results] == list(CHECKS)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("sound", [broken.Sound, rules.Pops, rules.PopsForANetwork, rules.Scripted, rules.Traced])
def test_sound_tuner_passes(sound):
    """What the broken tuners are derived from has no fault; nor is one a scripted network, or a dict taken apart."""
    assert failures(sound()) == {}


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
@pytest.mark.parametrize(("intended", "broken"), BROKEN, ids=[f"{c}-{b.__name__}" for c, b in BROKEN])
def test_broken_tuner_fails_the_intended_check_alone(intended, broken):
    """A deliberately broken tuner fails exactly one check, which says what to do after a semicolon."""
    found = failures(broken())
    assert list(found) == [intended]
    assert "; " in found[intended]
    assert "\n" not in found[intended]


def test_folded_check_compares_with_the_definition(monkeypatch):
    """Where folding loses an edit's bias, the check of the folded network fails, and it alone."""
    lost = lambda model, edit, anatomy: fold(model, LogitEdit(edit.weight, 0 * edit.bias), anatomy)  # noqa: E731
    monkeypatch.setattr("tunebench.testing.returned.fold", lost)
    assert list(failures(broken.Sound())) == ["folded"]


def test_every_check_is_failed_by_some_broken_tuner():
    """There is no check that cannot fail."""
    assert {intended for intended, _ in BROKEN} == set(CHECKS)


def test_checks_leave_the_process_as_it_was():
    """Checking a tuner that tampers with everything changes neither generators, threads nor warning filters."""
    before = random.getstate(), torch.get_rng_state(), torch.get_num_threads(), list(warnings.filters)
    for tuner in (rules.SeedsEverything, rules.TakesAllThreads, rules.SilencesWarnings):
        failures(tuner())
    after = random.getstate(), torch.get_rng_state(), torch.get_num_threads(), list(warnings.filters)
    assert before[0] == after[0]
    assert torch.equal(before[1], after[1])
    assert before[2:] == after[2:]


@pytest.mark.parametrize("kind", KINDS)
def test_small_tasks_are_what_they_say(kind):
    """Class counts, targets, a never predicted class and a perfect network, on real samples."""
    task = small_task(kind)
    predicted, right = task.logits_train.argmax(1), task.logits_train.argmax(1) == task.y_train
    assert task.classes == {"two-classes": 2, "47-classes": 47}.get(kind, 10)
    assert len(task.targets) == (2 if kind == "two-targets" else 1)
    assert bool((predicted == task.target).any()) is (kind not in ("never-predicted", "47-classes"))
    assert bool(right.all()) is (kind == "perfect-model")
    assert 0.4 < len(task.y_valid) / len(task.y_train) < 0.6
    assert torch.isin(torch.tensor(task.targets), task.y_valid).all()


def test_small_tasks_are_copies():
    """A broken tuner under test cannot spoil the task of the next test."""
    task = small_task()
    with torch.no_grad():
        next(task.model.parameters()).zero_()
        task.x_train.zero_()
    assert next(small_task().model.parameters()).abs().sum() > 0
    assert small_task().x_train.abs().sum() > 0


def test_middle_and_corners_lie_in_the_space():
    """Every point is one that Optuna could have proposed, and all four corners of two axes are there."""
    space = {
        "a": FloatDistribution(0.01, 100.0, log=True),
        "b": IntDistribution(1, 10, step=3),
        "c": CategoricalDistribution(["x", "y"]),
    }
    points = [middle(space), *corners(space)]
    assert middle(space)["a"] == pytest.approx(1.0)
    assert all(space[name]._contains(space[name].to_internal_repr(v)) for p in points for name, v in p.items())
    two = {name: space[name] for name in "ab"}
    assert len(list(corners(two))) == 4
    assert list(corners({})) == [{}]


def test_deepcopied_task_is_independent_of_the_original():
    """Copies of a task share no tensor, which the checks rely on."""
    task = small_task()
    other = copy.deepcopy(task)
    other.x_train.add_(1)
    assert not torch.equal(task.x_train, other.x_train)


@pytest.mark.parametrize("what", ["logit-bias", "smvt-sj*"])
def test_check_command_passes_a_bundled_tuner(what, capsys):
    """One line per check, the time per trial, exit code 0."""
    with pytest.raises(SystemExit) as exit_info:
        main(["check", what])
    printed = capsys.readouterr().out
    assert exit_info.value.code == 0
    assert all(f"  ok       {check}\n" in printed for check in CHECKS)
    assert "ms per trial" in printed


def test_check_command_fails_a_broken_file(tmp_path, capsys):
    """Exit code 1, and the line of the failed check says what to do."""
    path = tmp_path / "hasty.py"
    path.write_text(
        textwrap.dedent("""
        from tunebench import LogitEdit, Tuner

        class Hasty(Tuner):
            name = "Hasty One"

            def tune(self, task, params, prepared):
                return LogitEdit.of_target(task, bias=0.5)
        """)
    )
    with pytest.raises(SystemExit) as exit_info:
        main(["check", str(path)])
    printed = capsys.readouterr().out
    assert exit_info.value.code == 1
    assert "FAILED   name: the name 'Hasty One' is not a slug; use" in printed
    assert "1 FAILED" in printed


def test_check_runs_in_a_worker(tmp_path, capsys, monkeypatch):
    """A tuner that ends its process, or wants more memory than a cell has, fails as its cell would."""
    path = tmp_path / "deadly.py"
    path.write_text(
        textwrap.dedent("""
        import os, signal
        import torch
        from tunebench import LogitEdit, Tuner

        class Dies(Tuner):
            name = "dies"
            def tune(self, task, params, prepared):
                os.kill(os.getpid(), signal.SIGSEGV)

        class Fills(Tuner):
            name = "fills"
            def tune(self, task, params, prepared):
                torch.ones(2**40)

        class Fine(Tuner):
            name = "fine"
            def tune(self, task, params, prepared):
                return LogitEdit.of_target(task, bias=1.0 + 0 * torch.ones(2**26).sum().item())
        """)
    )
    monkeypatch.setattr("tunebench.workers.isolation.fair_share", lambda workers: 2**30)
    with pytest.raises(SystemExit) as exit_info:
        main(["check", str(path)])
    printed = capsys.readouterr().out
    assert exit_info.value.code == 1
    assert "dies\n  FAILED   worker: its process was ended by SIGSEGV" in printed
    assert "fills\n  ok       name\n  FAILED   output: tune() raised RuntimeError" in printed
    assert "  ok       cell\n  25 ok\n" in printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "neither a Tuner nor a tunebench hook"),
        ("1 +", "SyntaxError"),
        ("from tunebench import hookimpl\n@hookimpl\ndef tunebench_tuners():\n    return [3]", "int, not a Tuner"),
        ("from tunebench import hookimpl\n@hookimpl\ndef tunebench_tuners():\n    return 1 / 0", "ZeroDivisionError"),
    ],
)
def test_check_command_refuses_a_file_without_tuners(tmp_path, capsys, text, message):
    """A file that cannot be checked is wrong input: one line, exit code 2."""
    path = tmp_path / "nothing.py"
    path.write_text(text)
    with pytest.raises(SystemExit) as exit_info:
        main(["check", str(path)])
    error = capsys.readouterr().err
    assert exit_info.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_conformance_class_runs_and_fails_in_a_project_of_its_own(pytester):
    """Subclassed with one fixture, the kit gives one test per check; a fault fails the test of its check alone."""
    pytester.makepyfile(
        test_mine="""
        import pytest
        import torch
        from tunebench import LogitEdit, Tuner
        from tunebench.testing import TunerConformance

        class Bad(Tuner):
            name = "bad-one"
            def tune(self, task, params, prepared):
                torch.manual_seed(task.seed)
                return LogitEdit.of_target(task, bias=0.5)

        class TestBad(TunerConformance):
            @pytest.fixture
            def tuner(self):
                return Bad()
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rf")
    done.assert_outcomes(passed=len(CHECKS) - 1, failed=1)
    done.stdout.fnmatch_lines("FAILED *::TestBad::test_conformance*global-rng*")
