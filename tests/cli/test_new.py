"""`tunebench new`: what it writes is complete, valid and passes its own checks."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from tunebench import UsageError
from tunebench.grid.suite import load_suite
from tunebench.plugins import PluginFile, load_registry
from tunebench.scaffold.scaffolding import FILES, render
from tunebench.testing import Subject, run_checks

EXAMPLE = Path(__file__).parents[2] / "docs" / "example_plugin"


def test_writes_a_package(tunebench, tmp_path, monkeypatch):
    """Five files, each named on stdout, in a folder called as the tuner; the next commands are told."""
    monkeypatch.chdir(tmp_path)
    done = tunebench("new", "my-tuner")
    written = sorted(str(path.relative_to(tmp_path / "my-tuner")) for path in (tmp_path / "my-tuner").rglob("*.*"))
    assert done.code == 0
    assert written == ["README.md", "ci.toml", "my_tuner.py", "pyproject.toml", "tests/test_my_tuner.py"]
    assert all(f"wrote my-tuner/{path}" in done.out for path in written)
    assert "tunebench check my-tuner/my_tuner.py" in done.out


def test_files_are_valid_and_fit_together():
    """The entry point names the module, the suite names the tuner, and no placeholder is left."""
    files = render("my-tuner")
    project = tomllib.loads(files["pyproject.toml"])
    assert project["project"]["entry-points"]["tunebench"] == {"my-tuner": "my_tuner"}
    assert project["tool"]["setuptools"]["py-modules"] == ["my_tuner"]
    assert "my-tuner" in tomllib.loads(files["ci.toml"])["tuners"]
    assert {type(ast.parse(text)) for path, text in files.items() if path.endswith(".py")} == {ast.Module}
    assert not any("$" in text for text in files.values())
    assert len(files) == len(FILES)


def test_suite_is_accepted(tmp_path):
    """`tunebench run` reads the suite that it writes."""
    path = tmp_path / "ci.toml"
    path.write_text(render("my-tuner")["ci.toml"])
    suite = load_suite(path, {})
    assert (suite.seeds, suite.budget, suite.datasets) == (3, 1.0, ("digits",))


def test_fresh_tuner_passes_every_check():
    """Before anything is edited, the new tuner keeps to all rules."""
    file = PluginFile("my_tuner.py", render("my-tuner")["my_tuner.py"].encode())
    tuner = load_registry([file]).tuner("my-tuner")
    assert [result for result in run_checks(Subject(tuner, "cpu")) if result.status != "ok"] == []


def test_example_package_is_what_new_writes():
    """The finished example differs from the templates in its tuner alone."""
    for path, text in render("mean-difference").items():
        if path != "mean_difference.py":
            assert (EXAMPLE / path).read_text("utf-8") == text, path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My Tuner", "not a slug"),
        ("my_tuner", "not a slug"),
        ("../up", "not a slug"),
        ("2fast", "cannot be a Python module"),
        ("class", "cannot be a Python module"),
        ("smvt-sj", "there is a tuner 'smvt-sj' already"),
        ("json", "there is a Python module 'json' already"),
    ],
)
def test_refuses_a_name_that_cannot_work(name, message):
    """No slug, no module, or taken: told before anything is written."""
    with pytest.raises(UsageError, match=message):
        render(name)


def test_refuses_an_existing_folder(tunebench, tmp_path, monkeypatch):
    """What is there already is never overwritten: exit code 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-tuner").mkdir()
    done = tunebench("new", "my-tuner")
    assert done.code == 2
    assert "is there already" in done.err
    assert list((tmp_path / "my-tuner").iterdir()) == []
