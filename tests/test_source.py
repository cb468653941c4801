"""Files of code by value: real paths, modules beside them, side by side, on other machines."""

import shutil
import sys
from pathlib import Path

import pytest
from conftest import run_command

from tunebench import Tuner, UsageError
from tunebench.plugins import load_registry
from tunebench.source import PluginFile, contained, imported_names

TUNER = """
from pathlib import Path
import helper
from package.inner import FACTOR
from tunebench import LogitEdit, Tuner


class Mine(Tuner):
    name = "NAME"

    def tune(self, task, params, prepared):
        import helper
        return LogitEdit.of_target(task, bias=helper.BIAS)

    def facts(self):
        import package.inner
        text = Path(__file__).with_name("text.txt")
        return helper.BIAS, FACTOR, package.inner.FACTOR, text.read_text() if text.exists() else None
"""


@pytest.fixture
def folder(tmp_path):
    """``folder(name, bias)``: a folder with tuner.py, a helper, a package and a text that it reads."""

    def write(name, bias):
        place = tmp_path / name
        (place / "package").mkdir(parents=True)
        (place / "tuner.py").write_text(TUNER.replace("NAME", name))
        (place / "helper.py").write_text(f"import deeper\nBIAS = {bias} + deeper.ZERO\n")
        (place / "deeper.py").write_text("ZERO = 0\n")
        (place / "package" / "__init__.py").write_text("from .inner import FACTOR\n")
        (place / "package" / "inner.py").write_text(f"FACTOR = {bias}\n")
        (place / "unrelated.py").write_text("1 / 0\n")
        (place / "text.txt").write_text(name)
        return place

    return write


def loaded(*files):
    """The registry of these files alone."""
    return load_registry(files, entry_points=False)


def test_two_files_of_one_name(folder):
    """Each tuner.py sees the helper beside it, also when it imports it late, and its own path."""
    files = [PluginFile.read(folder(name, bias) / "tuner.py") for name, bias in (("one", 1), ("two", 2))]
    registry = loaded(*files)
    assert registry.tuner("one").facts() == (1, 1, 1, "one")
    assert registry.tuner("two").facts() == (2, 2, 2, "two")
    assert registry.plugin_of("one") != registry.plugin_of("two")
    assert not {"helper", "deeper", "package", "tuner"} & sys.modules.keys()


def test_what_lies_beside_is_part_of_the_key(folder):
    """The digest follows the file and whatever it imports from beside it, in turn too; nothing else there."""
    place = folder("mine", 1)
    first = loaded(PluginFile.read(place / "tuner.py")).digest("mine")
    (place / "unrelated.py").write_text("2 / 0\n")
    assert loaded(PluginFile.read(place / "tuner.py")).digest("mine") == first
    for name in ("tuner.py", "helper.py", "deeper.py", "package/inner.py"):
        (place / name).write_text((place / name).read_text() + "# edited\n")
        now = loaded(PluginFile.read(place / "tuner.py")).digest("mine")
        assert now != first
        first = now


def test_another_machine_gets_the_same(folder):
    """Where the folder is not there, or holds something else by now, what was read is loaded from a copy."""
    place = folder("mine", 3)
    file = PluginFile.read(place / "tuner.py")
    (place / "helper.py").write_text("BIAS = 4\n")
    assert loaded(file).tuner("mine").facts() == (3, 3, 3, None)
    shutil.rmtree(place)
    copy = loaded(file).tuner("mine")
    assert copy.facts() == (3, 3, 3, None)
    assert Path(sys.modules[type(copy).__module__].__file__).is_file()


def test_compilers_find_their_source(tmp_path):
    """numba keeps its cache beside the file, torch.jit.script reads it, and no bytecode of ours is left there."""
    (tmp_path / "fast.py").write_text(
        "import numba, torch\n"
        "from tunebench import Tuner\n"
        "@numba.njit(cache=True)\n"
        "def twice(x):\n    return 2 * x\n"
        "@torch.jit.script\n"
        "def thrice(x: torch.Tensor):\n    return 3 * x\n"
        "class Fast(Tuner):\n"
        "    name = 'fast'\n"
        "    def tune(self, task, params, prepared):\n        return twice(2), thrice(torch.ones(1)).item()\n"
    )
    assert loaded(PluginFile.read(tmp_path / "fast.py")).tuner("fast").tune(None, {}, None) == (4, 3.0)
    kept = {path.suffix for path in (tmp_path / "__pycache__").iterdir()}
    assert kept == {".nbi", ".nbc"}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (b"import a.b, random\nfrom c import d\nfrom . import e\nfrom .f import g", {"a", "c", "e", "f"}),
        (b"def f():\n    import a\nimport tunebench_synapse\nimport tunebench", {"a"}),
        (b"not python (", set()),
    ],
)
def test_which_names_may_lie_beside(source, names):
    """Imports at any depth count; the standard library and tunebench come from where they always come from."""
    assert imported_names(source) == names


def test_a_folder_beside_gives_way_to_what_is_installed(tmp_path):
    """A checkout of pandas beside a file is not pandas; a folder that is a package, or that nobody else has, is."""
    for name in ("pandas/setup.py", "mine/tool.py", "click/__init__.py", "click/core.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "tuner.py").write_text("import pandas, click, mine.tool, nowhere")
    siblings = [name for name, _ in PluginFile.read(tmp_path / "tuner.py").siblings]
    assert siblings == ["click/__init__.py", "click/core.py", "mine/tool.py"]


def test_what_importing_changes_is_undone(tmp_path, monkeypatch, capsys):
    """Working directory, start method, signals and torch's settings come back, and prints do not reach stdout."""
    import multiprocessing
    import os
    import signal

    import torch

    monkeypatch.chdir(tmp_path)
    before = (multiprocessing.get_start_method(allow_none=True), signal.getsignal(signal.SIGINT), torch.get_rng_state())
    with contained():
        os.chdir("/")
        multiprocessing.set_start_method("spawn")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        print("hello")
    assert Path.cwd() == tmp_path
    assert multiprocessing.get_start_method(allow_none=True) == before[0]
    assert signal.getsignal(signal.SIGINT) == before[1]
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.get_rng_state(), before[2])
    assert capsys.readouterr().out == ""


REFUSED = """
import abc
from tunebench import Tuner, UsageError


class Nameless(Tuner):
    pass


class Abstract(Tuner, abc.ABC):
    name = "abstract"

    @abc.abstractmethod
    def strength(self):
        pass


class Capital(Tuner):
    name = "My-Tuner"


class Picky(Tuner):
    name = "picky"

    def __init__(self):
        raise OSError("no licence file")


class Good(Tuner):
    name = "good"
"""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("My-Tuner", "'My-Tuner' is not a slug (lower case letters, digits, hyphens)"),
        ("abstract", "Abstract is abstract, it does not define strength"),
        ("picky", "Picky() failed: OSError: no licence file"),
        ("goood", "did you mean good"),
    ],
)
def test_a_refused_tuner_says_why(tmp_path, name, why):
    """Asking for it gives the reason in one line; the good one beside it works, bases without a name are no matter."""
    (tmp_path / "mine.py").write_text(REFUSED)
    done = run_command("run", "-d", "digits", "-t", name, "--plugin", tmp_path / "mine.py", "-o", tmp_path / "out")
    assert done.code == 2
    assert why in done.err
    registry = loaded(PluginFile.read(tmp_path / "mine.py"))
    assert list(registry.tuners) == ["good"]
    assert isinstance(registry.tuner("good"), Tuner)
    (problem,) = registry.problems.values()
    assert "Nameless" not in problem


def test_a_crash_at_import_is_told_where_its_tuner_is_asked_for(monkeypatch):
    """An installed plugin that does not load is named, with the cause, beside the nearest names."""
    from tunebench import plugins

    class Broken:
        name = "broken"

        def load(self):
            raise ImportError("no module named spam")

    monkeypatch.setattr(plugins, "installed", lambda: (Broken(),))
    with pytest.raises(UsageError, match=r"unknown tuner 'spam'.*plugin 'broken' is not used: ImportError: no module"):
        load_registry().tuner("spam")
