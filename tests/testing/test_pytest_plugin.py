"""The pytest plugin: light for those who do not use it, and gates that cannot pass by accident for those who do."""

from __future__ import annotations

import shutil
from importlib import metadata

import pytest

pytest_plugins = ["pytester"]
HEAVY = ("torch", "numpy", "pandas", "optuna", "sklearn")
INSTALLED = any(point.value == "tunebench.pytest_plugin" for point in metadata.entry_points(group="pytest11"))
LOAD = ("-p", "no:cacheprovider", "--strict-markers", *(() if INSTALLED else ("-p", "tunebench.pytest_plugin")))
"""Arguments that load the plugin also where the package is not installed with its entry points."""


@pytest.fixture
def inner(pytester, monkeypatch):
    """``inner(code, *arguments)`` runs pytest on one file of tests in a process of its own and returns its result."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # pytest-benchmark saves nothing in a worker

    def run(code, *arguments):
        pytester.makepyfile(test_inner=code)
        return pytester.runpytest_subprocess(*LOAD, *arguments)

    return run


def test_starting_pytest_imports_nothing_heavy(inner):
    """A project that has tunebench installed and does not use it pays no import of torch."""
    inner(f"""
        import sys

        def test_light():
            assert not [name for name in {HEAVY!r} if name in sys.modules]
    """).assert_outcomes(passed=1)


def test_fixtures_give_fresh_tasks_and_real_leaderboards(inner, tmp_path):
    """A task is not spoilt by the test before; a leaderboard has a row per tuner and is computed once."""
    (tmp_path / "mine.py").write_text(
        "from tunebench import LogitEdit, Tuner\n\n\nclass Mine(Tuner):\n    name = 'mine'\n\n"
        "    def tune(self, task, params, prepared):\n        return LogitEdit.of_target(task, bias=0.5)\n"
    )
    inner(f"""
        def test_spoil(tuning_task):
            tuning_task.x_train.zero_()

        def test_next(tuning_task):
            assert tuning_task.x_train.abs().sum() > 0
            assert tuning_task.classes == 10

        def test_rows(tunebench_leaderboard, monkeypatch):
            request = dict(plugins=[{str(tmp_path / "mine.py")!r}], seeds=1, trials=2)
            board = tunebench_leaderboard("mine", "original", **request)
            assert {{row["tuner"]: row["status"] for row in board.rows}} == {{"mine": "ok", "original": "ok"}}
            monkeypatch.setattr("tunebench.grid.runner.run", None)
            assert tunebench_leaderboard("mine", "original", **request).rows == board.rows
    """).assert_outcomes(passed=3)


def test_marked_tests_are_gated(inner, pytester, digits_run):
    """Equal runs pass; a vanished tuner, a missing baseline and a test that measures nothing do not."""
    for folder in ("now", "equal", "full"):
        shutil.copytree(digits_run, pytester.path / folder)
    for folder in ("now", "equal"):
        out = pytester.path / folder
        shutil.rmtree(next((out / "cells").glob("*/*/*/logit-bias")))
    done = inner("""
        from pathlib import Path

        import pytest

        @pytest.fixture(autouse=True)
        def finished_run(monkeypatch):
            monkeypatch.setattr("tunebench.pytest_plugin._run", lambda *_: Path("now"))

        @pytest.mark.tunebench_gate("nowhere")
        def test_without_a_baseline(tunebench_leaderboard):
            tunebench_leaderboard("*")

        @pytest.mark.tunebench_gate("full", "ta:-0.5pt", "oa:-0.2pt")
        def test_vanished(tunebench_leaderboard):
            tunebench_leaderboard("*")

        @pytest.mark.tunebench_gate("equal", "tta:-0.5pt")
        def test_wrong_limit(tunebench_leaderboard):
            tunebench_leaderboard("*")

        @pytest.mark.tunebench_gate("full")
        def test_forgot_the_fixture():
            pass

        @pytest.mark.tunebench_gate("full")
        def test_forgot_to_call(tunebench_leaderboard):
            pass

        def test_not_marked(tunebench_leaderboard):
            tunebench_leaderboard("*")
    """)
    done.assert_outcomes(failed=3, errors=2, passed=2)
    done.stdout.fnmatch_lines(["*REGRESSED: logit-bias*has vanished*"])
    done.stdout.fnmatch_lines(["*nowhere is no folder*"])
    done.stdout.fnmatch_lines(["ERROR test_inner.py::test_forgot_the_fixture*"])


def test_works_with_pytest_benchmark(inner, pytester):
    """`--benchmark-save` keeps the quality beside the times, and `--benchmark-compare-fail` fails what got slower."""
    pytest.importorskip("pytest_benchmark")
    code = """
        import os
        import time
        from tunebench import LogitEdit

        def test_speed(benchmark, tuning_task):
            def tune():
                if os.path.exists("slow"):
                    time.sleep(0.1)
                return LogitEdit.of_target(tuning_task, bias=1.0)

            edit = benchmark.pedantic(tune, rounds=9, warmup_rounds=1)
            benchmark.extra_info["bias"] = float(edit.bias.sum())
    """
    inner(code, "--benchmark-save=base").assert_outcomes(passed=1)
    (saved,) = (pytester.path / ".benchmarks").rglob("*_base.json")
    assert '"bias": 1.0' in saved.read_text()
    (pytester.path / "slow").touch()
    done = inner(code, "--benchmark-compare=0001", "--benchmark-compare-fail=median:500%")
    assert done.ret != 0
    assert "Performance has regressed" in done.stdout.str() + done.stderr.str()
