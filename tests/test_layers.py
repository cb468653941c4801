"""The architecture: imports point only upward in one table, and what has to stay light stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tunebench

PACKAGE = Path(tunebench.__file__).parent

LAYERS = """
errors
naming tuner hookspecs torchvision_compat isolation
metrics suite cache targets training activations tradeoff statistics
predictions cost edits plugins datasets models calibration comparison
originals comparison
tasks selection
search
cells
records
store
plan provenance
evaluation
latency outcomes observer
preload
engines
cluster
runner
leaderboard merge advice
report
gate paper testing pytest_plugin scaffolding
cli
"""
"""Modules and subpackages; each imports only from lines above its own (DESIGN, "Layers")."""

LEVEL = {name: number for number, line in enumerate(LAYERS.strip().splitlines()) for name in line.split()}
ENTRANCES = {"__init__", "__main__"}


def part_of(path: Path) -> str:
    """Module or subpackage of ``tunebench`` that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Full names of what a file imports when it is imported itself: at module level, not for type checkers alone."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if part_of(path) not in ENTRANCES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_upward(path):
    """A module imports from the lines above its own, or from its own subpackage."""
    mine = part_of(path)
    assert mine in LEVEL, f"give {mine!r} a line in LAYERS"
    for name in imports_of(path):
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if top == "tunebench" and other in LEVEL and other != mine:
            assert LEVEL[other] < LEVEL[mine], f"{mine} imports {name}, which stands no higher"


def run_python(code: str) -> subprocess.CompletedProcess:
    """Run ``code`` in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_results_are_read_without_torch():
    """Leaderboards are built, rendered and gated on machines that have no torch."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import tunebench.leaderboard, tunebench.report, tunebench.statistics, tunebench.gate\n"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_help_is_light():
    """`import tunebench`, --help and --version load no heavy library and scan no entry points."""
    code = """
import importlib.metadata, sys
def scanned(*args, **kwargs):
    raise AssertionError("entry points were scanned")
importlib.metadata.entry_points = scanned
from tunebench.cli import main
for args in (["--help"], ["--version"], ["run", "--help"]):
    try:
        main(args)
    except SystemExit as ended:
        assert not ended.code, ended.code
heavy = {"torch", "pandas", "optuna", "sklearn", "numpy", "scipy", "numba"} & sys.modules.keys()
assert not heavy, heavy
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert "Compare tuners" in done.stdout
    assert f"tunebench {tunebench.__version__}" in done.stdout


def test_the_public_names():
    """What plugin authors import from the top is there, sorted, and importing it does not import torch."""
    assert tunebench.__all__ == sorted(tunebench.__all__)
    assert {"hookimpl", "Tuner", "TuningTask", "LogitEdit", "TunebenchError"} <= set(tunebench.__all__)
    assert all(hasattr(tunebench, name) for name in tunebench.__all__)
    done = run_python("import sys, tunebench; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr
