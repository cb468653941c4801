"""The house: imports point only downward, no circles, short files, and what has to stay light stays light."""

import ast
import graphlib
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tunebench

PACKAGE = Path(tunebench.__file__).parent
ROOT = Path(__file__).parents[1]
"""The checkout, which the package need not lie in."""

WINGS = """
cli
pytest_plugin
own paper gate testing
boards
grid
workers
results
scaffold
selection
networks
datasets
plugins
hookspecs
glossary digests
cache console source tuner compression naming
errors
"""
"""Wings and the rooms of the face, top floor first: each imports only from lines below its own."""

LEVEL = {name: number for number, line in enumerate(WINGS.strip().splitlines()) for name in line.split()}
MOVED = {"training", "models", "report", "leaderboard"}
"""Old paths that lead to a wing: for scripts outside, never for us."""
ENTRANCES = {"__init__", "__main__"} | MOVED
FOLDERS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())


def part_of(path: Path) -> str:
    """Wing, or module at the top, that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    """Full dotted name of a file's module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Full names of what a file imports, also inside functions, but not for type checkers alone."""
    found = set()
    todo = list(ast.parse(path.read_text("utf-8")).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            todo += list(ast.iter_child_nodes(node))
    return found


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if part_of(path) not in ENTRANCES]
MODULES = {module_of(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward(path):
    """A module imports from the lines below its own, or from its own wing; nobody uses the old paths."""
    mine = part_of(path)
    assert mine in LEVEL, f"give {mine!r} a line in WINGS"
    for name in imports_of(path):
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        assert top != "tunebench" or other not in MOVED, f"{mine} imports {name} by its old path"
        if top == "tunebench" and other in LEVEL and other != mine:
            assert LEVEL[other] > LEVEL[mine], f"{mine} imports {name}, which stands no lower"


def test_no_circle():
    """No module imports itself through others, inside a wing either."""
    arrows = {}
    for path in FILES:
        mine = module_of(path)
        names = imports_of(path)
        arrows[mine] = {m for m in MODULES if any(n == m or n.startswith(m + ".") for n in names)} - {mine}
        # `from wing.room import name` does not need what the wing's own __init__ collects
        arrows[mine] -= {m for m in arrows[mine] if mine.startswith(m + ".")}
        exact = {m for m in arrows[mine] if any(n == m or n.rpartition(".")[0] == m for n in names)}
        arrows[mine] = exact
    graphlib.TopologicalSorter(arrows).prepare()


@pytest.mark.parametrize("wing", FOLDERS)
def test_every_wing_says_what_it_is_for(wing):
    """In at most three lines at its door."""
    text = ast.get_docstring(ast.parse((PACKAGE / wing / "__init__.py").read_text("utf-8")))
    assert text, wing
    assert len(text.split("\n\n")[0].splitlines()) <= 3, wing


def test_every_wing_is_on_the_map():
    """docs/architecture.md names every wing."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    assert not [wing for wing in FOLDERS if f"`{wing}/`" not in page]


SOURCES = [path for folder in ("tunebench", "plugins") for path in (ROOT / folder).rglob("*.py")]


def test_test_files_have_names_of_their_own():
    """pytest imports a file by its name alone where its folder is no package: two of one name cannot both be run."""
    names = sorted(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert sorted(set(names)) == names


def test_files_are_short():
    """At most 300 lines in the product, its templates included, 350 in a test."""
    templates = [path for kind in ("html", "css", "js", "template") for path in PACKAGE.rglob(f"*.{kind}")]
    assert templates
    tests = [(path, 350) for path in (ROOT / "tests").rglob("*.py")]
    long = [
        str(p)
        for p, most in [(p, 300) for p in SOURCES + templates] + tests
        if len(p.read_text("utf-8").splitlines()) > most
    ]
    assert not long


@pytest.mark.parametrize(
    "path",
    [
        "tunebench.training.fine_tune", "tunebench.training.limited", "tunebench.training.minibatches",
        "tunebench.training.Loss", "tunebench.training.Optimiser", "tunebench.training.sgd",
        "tunebench.models.ModelSpec", "tunebench.models.mlp",
        "tunebench.report.frame", "tunebench.report.render", "tunebench.leaderboard.build",
        "tunebench.testing.TunerConformance", "tunebench.testing.small_task", "tunebench.datasets.DatasetSource",
        "tunebench.gate.compare", "tunebench_synapse.evaluate",
    ],
)  # fmt: skip
def test_old_paths_keep_working(path):
    """What plugins and scripts outside import is where it was."""
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name)


def run_python(code: str) -> subprocess.CompletedProcess:
    """Run ``code`` in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_results_are_read_without_torch():
    """Leaderboards are built, rendered and gated on machines that have no torch."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import tunebench.boards.leaderboard, tunebench.boards.tables, tunebench.boards.statistics, tunebench.gate\n"
        "assert not {'pandas', 'scipy', 'numba'} & sys.modules.keys()\n"
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


def test_signals_are_handled_first():
    """Nothing that takes a while is loaded before Ctrl-C is one line: no module of ours but the first, no typing."""
    code = """
import signal, sys
before = set(sys.modules)
import tunebench.__main__
loaded = set(sys.modules) - before
assert {name for name in loaded if name.startswith("tunebench")} == {"tunebench", "tunebench.__main__"}, loaded
assert loaded <= {"tunebench", "tunebench.__main__", "__future__", "_signal", "contextlib", "collections"}, loaded
assert signal.getsignal(signal.SIGINT) is tunebench.__main__.give_up
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_the_public_names():
    """What plugin authors import from the top is there, sorted, and importing it does not import torch."""
    assert tunebench.__all__ == sorted(tunebench.__all__)
    assert {"hookimpl", "Tuner", "TuningTask", "LogitEdit", "TunebenchError"} <= set(tunebench.__all__)
    assert all(hasattr(tunebench, name) for name in tunebench.__all__)
    assert set(tunebench.__all__) <= set(dir(tunebench))
    done = run_python("import sys, tunebench; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr
