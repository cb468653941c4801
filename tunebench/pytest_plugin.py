"""Fixtures and a marker for tests of tuners.

pytest loads this module in every project of an environment that has tunebench, so it imports nothing that is heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tunebench.boards.leaderboard import Leaderboard
    from tunebench.tuner import TuningTask

MARKER = "tunebench_gate"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    text = "hold each tunebench_leaderboard of the test against the run folder BASELINE, as `tunebench gate` does"
    config.addinivalue_line("markers", f"{MARKER}(baseline, *limits): {text}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A gate that measures nothing must not pass."""
    if item.get_closest_marker(MARKER) and "tunebench_leaderboard" not in getattr(item, "fixturenames", ()):
        pytest.fail(f"{MARKER} needs the fixture tunebench_leaderboard; ask for it and call it", pytrace=False)


@pytest.fixture
def tuning_task() -> TuningTask:
    """A small real `TuningTask`: digits, a network trained on them in a moment, its weakest class as the target.

    Built once per session; every test gets a copy of its own.
    """
    from tunebench.testing import small_task

    return small_task()


@pytest.fixture(scope="session")
def _tunebench_runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``run(tuners, fields, plugins)``: the run folder of the one-minute suite, run once per session."""
    done: dict[Any, Path] = {}

    def run(tuners: tuple[str, ...], fields: dict[str, Any], plugins: tuple[Path, ...]) -> Path:
        key = (tuners, repr(sorted(fields.items())), plugins)
        if key not in done:
            done[key] = _run(tuners, fields, plugins, tmp_path_factory.mktemp("tunebench"))
        return done[key]

    return run


@pytest.fixture
def tunebench_leaderboard(
    request: pytest.FixtureRequest, _tunebench_runs: Callable[..., Path]
) -> Iterator[Callable[..., Leaderboard]]:
    """``tunebench_leaderboard(*tuners, plugins=(), **fields)`` runs the one-minute suite and returns its leaderboard.

    ``tuners`` are names or globs, ``plugins`` files as for ``--plugin``, ``fields`` replace those of the suite, such
    as ``seeds=1``. In a test marked ``tunebench_gate(baseline, *limits)`` the run is also held against a baseline.
    """
    gates = list(request.node.iter_markers(MARKER))
    calls = 0

    def board(*tuners: str, plugins: Iterable[str | Path] = (), **fields: Any) -> Leaderboard:
        nonlocal calls
        from tunebench.boards import leaderboard

        calls += 1
        out = _tunebench_runs(tuners, fields, tuple(map(Path, plugins)))
        for mark in gates:
            _gate(out, request.config.rootpath / mark.args[0], mark.args[1:])
        return leaderboard.build(out)

    yield board
    if gates and not calls:
        pytest.fail(f"{MARKER}: the test never called tunebench_leaderboard, so nothing was measured", pytrace=False)


def _run(tuners: tuple[str, ...], fields: dict[str, Any], plugins: tuple[Path, ...], out: Path) -> Path:
    from dataclasses import replace

    from tunebench.grid import plan, runner
    from tunebench.grid.suite import parse_suite
    from tunebench.plugins import PluginFile
    from tunebench.scaffold.scaffolding import template

    suite = parse_suite(template("ci.toml").safe_substitute(), "the one-minute suite")
    files = tuple(PluginFile.read(path) for path in plugins)
    runner.run(replace(suite, tuners=tuners, **fields), plan.RunOptions(out=out, plugins=files))
    return out


def _gate(out: Path, baseline: Path, limits: tuple[str, ...]) -> None:
    from tunebench import TunebenchError, gate

    try:
        verdict = gate.compare(out, baseline, [gate.Limit.parse(text) for text in limits or gate.DEFAULT_LIMITS])
    except TunebenchError as exc:
        pytest.fail(str(exc), pytrace=False)
    if verdict.exit_code:
        pytest.fail(gate.render(verdict), pytrace=False)
