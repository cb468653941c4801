"""Fill in the templates of a plugin package."""

from __future__ import annotations

import importlib.util
import keyword
from importlib import resources
from pathlib import Path
from string import Template

from tunebench.errors import StoreError, UsageError
from tunebench.plugins import SLUG, load_registry

FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "ci.toml": "ci.toml",
    "$module.py": "tuner.py",
    "tests/test_$module.py": "test_tuner.py",
}
"""Path in the package -> template."""


def render(name: str) -> dict[str, str]:
    """The files of a package for a tuner called ``name``, by path; UsageError for a name that cannot be one."""
    names = {"name": name, "module": module_name(name), "class_name": class_name(name)}
    return {Template(path).substitute(names): template(file).substitute(names) for path, file in FILES.items()}


def write_package(name: str, folder: Path) -> list[Path]:
    """Write the package into the new ``folder``; returns its files. UsageError when the folder is there already."""
    files = render(name)
    written = [folder / path for path in files]
    try:
        folder.mkdir(parents=True)
        for path, text in zip(written, files.values(), strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{folder} is there already; choose another name or delete it") from None
    except OSError as exc:
        raise StoreError(f"cannot write {folder}: {exc.strerror or exc}; go to a folder that you can write") from exc
    return written


def template(file: str) -> Template:
    """The template of one file."""
    source = resources.files("tunebench").joinpath("scaffold", f"{file}.template")
    return Template(source.read_text(encoding="utf-8"))


def module_name(name: str) -> str:
    """The module for a tuner's name; UsageError unless both names are valid and free."""
    if not SLUG.fullmatch(name):
        raise UsageError(f"{name!r} is not a slug; use lower case letters, digits and single hyphens, as in my-tuner")
    module = name.replace("-", "_")
    if not module.isidentifier() or keyword.iskeyword(module):
        raise UsageError(f"{module!r} cannot be a Python module; start with a letter, as in my-{name}")
    if name in load_registry().tuners:
        raise UsageError(f"there is a tuner {name!r} already (see tunebench list tuners); choose another name")
    if importlib.util.find_spec(module) is not None:
        raise UsageError(f"there is a Python module {module!r} already; choose another name, as in my-{name}")
    return module


def class_name(name: str) -> str:
    """``MyTuner`` for ``my-tuner``."""
    return "".join(part.capitalize() for part in name.split("-"))
