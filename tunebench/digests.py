"""What the keys of results say of code: digests of whole packages, and of single files with what they import."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from tunebench.source import Loader, imported_beside


def module_that_holds(item: Any) -> types.ModuleType:
    """A module itself, or the one that defines an object's class."""
    return item if isinstance(item, types.ModuleType) else sys.modules[type(item).__module__]


def code_digest(module: types.ModuleType) -> str:
    """Hex sha256 over the content of a module's whole top-level package, or of its one file and its siblings."""
    loader = getattr(module.__spec__, "loader", None)
    if isinstance(loader, Loader):
        return loader.package.content.digest
    return package_digest(module.__name__)


def package_digest(name: str) -> str:
    """Hex sha256 over the content of the top-level package of module ``name``, which is not imported."""
    top = importlib.util.find_spec(name.partition(".")[0])
    digest = hashlib.sha256()
    if top is not None and top.origin:
        origin = Path(top.origin)
        if top.submodule_search_locations:
            names = (path.relative_to(origin.parent) for path in origin.parent.rglob("*") if path.is_file())
            made = ("__pycache__", ".")
            files = [name for name in names if not any(part.startswith(made) for part in name.parts)]
        else:
            files = [Path(origin.name), *map(Path, imported_beside(origin.read_bytes(), origin.parent))]
        for file in sorted(files):
            digest.update(str(file).encode() + b"\0" + (origin.parent / file).read_bytes() + b"\0")
    return digest.hexdigest()
