"""A Python file of the user's and the modules beside it: read once, hashed, carried by value, with a real path."""

from __future__ import annotations

import ast
import builtins
import contextlib
import hashlib
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path, PurePosixPath
from typing import Any

from tunebench.errors import UsageError


@dataclass(frozen=True)
class PluginFile:
    """A file of code by value, so that workers and other machines load what the run began with."""

    name: str
    """The path as the user wrote it; names the plugin."""
    source: bytes
    folder: str = ""
    """Where it lies on the machine that read it; empty when it lies nowhere."""
    siblings: tuple[tuple[str, bytes], ...] = ()
    """Path inside the folder and content of every module beside it that it imports, sorted."""

    @classmethod
    def read(cls, path: Path, what: str = "--plugin") -> PluginFile:
        """Read ``path`` and the modules beside it that it imports; UsageError when that is not possible."""
        try:
            source, folder = path.read_bytes(), path.resolve().parent
            return cls(str(path), source, str(folder), tuple(sorted(imported_beside(source, folder).items())))
        except OSError as exc:
            raise UsageError(f"{what} {path}: {exc.strerror or exc}") from exc

    @cached_property
    def files(self) -> dict[str, bytes]:
        """Content by path inside the folder."""
        return {**dict(self.siblings), Path(self.name).name: self.source}

    @cached_property
    def digest(self) -> str:
        """Hex sha256 of the file, and of its siblings where there are any."""
        return digest_of(self.source, dict(self.siblings))

    def load(self) -> types.ModuleType:
        """The file as a module of a package of its own, executed once per process.

        Modules beside it are imported from that package, by name or relatively, so that files of one name in two
        folders do not meet. Whatever the code raises passes through.
        """
        folder = self.place()
        name = f"tunebench_file_{hashlib.sha256(f'{folder} {self.digest}'.encode()).hexdigest()[:12]}"
        if name not in sys.modules:
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [str(folder)]
            sys.meta_path.insert(0, Package(name, folder, self))
        try:
            return importlib.import_module(f"{name}.{dotted(Path(self.name).name)}")
        except BaseException:
            for loaded in [loaded for loaded in sys.modules if loaded.startswith(f"{name}.")]:
                del sys.modules[loaded]
            raise

    def place(self) -> Path:
        """A folder that holds just this content: the user's own, or a copy in the cache where that is not here."""
        if self.folder and self.lies_in(Path(self.folder)):
            return Path(self.folder)
        import platformdirs

        root = platformdirs.user_cache_path("tunebench") / "code"
        target = root / self.digest[:24]
        if not self.lies_in(target):
            root.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=root))
            for name, content in self.files.items():
                (scratch / name).parent.mkdir(parents=True, exist_ok=True)
                (scratch / name).write_bytes(content)
            try:
                scratch.rename(target)
            except OSError:  # another process was first, or the copy there is damaged
                if not self.lies_in(target):
                    return scratch
                shutil.rmtree(scratch, ignore_errors=True)
        return target

    def lies_in(self, folder: Path) -> bool:
        """Whether ``folder`` holds this file and its siblings as they were read."""
        try:
            return all((folder / name).read_bytes() == content for name, content in self.files.items())
        except OSError:
            return False


@dataclass(frozen=True, eq=False)
class Package:
    """What a file and its siblings are loaded as; finds their modules from `sys.meta_path`."""

    name: str
    folder: Path
    content: PluginFile

    @cached_property
    def modules(self) -> dict[str, str]:
        """File by dotted name inside the package."""
        return {dotted(file): file for file in self.content.files}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`; a folder without ``__init__.py`` is a package too."""
        package, _, rest = name.partition(".")
        if package != self.name or not rest:
            return None
        inside = [str(self.folder / rest.replace(".", "/"))]
        if rest in self.modules:
            file = self.folder / self.modules[rest]
            places = inside if file.name == "__init__.py" else None
            return spec_from_file_location(name, file, loader=Loader(self, name), submodule_search_locations=places)
        if not any(module.startswith(f"{rest}.") for module in self.modules):
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = inside
        return spec

    def importer(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        """An ``__import__`` that looks into the package first."""
        top = name.partition(".")[0]
        if level or not any(module.partition(".")[0] == top for module in self.modules):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        leaf = builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist or (), 0)
        return leaf if fromlist else sys.modules[f"{self.name}.{top}"]


class Loader(SourceFileLoader):
    """Executes what was carried, not what lies there by now; its ``import`` looks beside the file first."""

    def __init__(self, package: Package, name: str) -> None:
        self.package = package
        self.file = package.modules[name.partition(".")[2]]
        super().__init__(name, str(package.folder / self.file))

    def get_code(self, fullname: str) -> types.CodeType:
        """Compiled without a bytecode file: that is compared by date, and the user's folder stays as it is."""
        code: types.CodeType = self.source_to_code(self.package.content.files[self.file], self.path)
        return code

    def exec_module(self, module: types.ModuleType) -> None:
        """Give the module an ``import`` of its own and execute it."""
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self.package.importer}
        super().exec_module(module)


def dotted(file: str) -> str:
    """Name of the module in a file, from its path inside the package's folder."""
    parts = [part.replace(".", "_") for part in PurePosixPath(file.removesuffix(".py")).parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_beside(source: bytes, folder: Path) -> dict[str, bytes]:
    """Content, by path inside ``folder``, of the modules and packages there that ``source`` imports, in turn too.

    The standard library and tunebench itself come first, and what lies among installed packages is installed.
    """
    found: dict[str, bytes] = {}
    if folder in {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")}:
        return found
    todo = [source]
    while todo:
        for top in imported_names(todo.pop()):
            module, package = folder / f"{top}.py", folder / top
            for path in [module] if module.is_file() else package.rglob("*.py") if is_package(package) else []:
                name = path.relative_to(folder).as_posix()
                if name not in found and "/." not in name:
                    found[name] = path.read_bytes()
                    todo.append(found[name])
    return found


def is_package(folder: Path) -> bool:
    """Whether a folder beside a file is what it imports; without ``__init__.py`` it gives way to what is installed."""
    if not folder.is_dir() or (folder / "__init__.py").is_file():
        return folder.is_dir()
    found = PathFinder.find_spec(folder.name)
    return found is None or found.origin is None


def imported_names(source: bytes) -> set[str]:
    """Top-level names that ``source`` imports, absolutely or relatively, and that may lie beside it."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):  # loading it will say so
        return set()
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names |= {node.module} if node.module else {alias.name for alias in node.names}
    tops = {name.partition(".")[0] for name in names}
    return {top for top in tops if top not in sys.stdlib_module_names and not top.startswith("tunebench")}


def digest_of(source: bytes, siblings: Mapping[str, bytes]) -> str:
    """Hex sha256 of ``source``, together with its siblings where there are any."""
    if not siblings:
        return hashlib.sha256(source).hexdigest()
    digest = hashlib.sha256(hashlib.sha256(source).digest())
    for name, content in sorted(siblings.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Run somebody's top-level code and undo what it does to the process beside defining things.

    Prints go to stderr. Working directory, start method of processes, handlers of SIGINT and SIGTERM, warning
    filters and torch's global settings come back; torch's generator starts from a seed inside, and goes on as before.
    """
    here, method = working_directory(), multiprocessing.get_start_method(allow_none=True)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    settings = torch_settings()
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        multiprocessing.set_start_method(None, force=True)  # else it could not be set inside
        if "torch" in sys.modules:
            sys.modules["torch"].default_generator.manual_seed(0)
        try:
            yield
        finally:
            if here is not None:
                os.chdir(here)
            multiprocessing.set_start_method(method, force=True)
            with contextlib.suppress(ValueError):  # only the main thread has handlers
                for number, handler in handlers.items():
                    signal.signal(number, handler)
            restore_torch(settings)


def working_directory() -> str | None:
    """Where this process is; None where that is gone."""
    try:
        return os.getcwd()
    except OSError:
        return None


def torch_settings() -> dict[str, Any]:
    """Torch's global settings, empty where torch is not imported yet."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    return {
        "set_grad_enabled": torch.is_grad_enabled(),
        "set_default_dtype": torch.get_default_dtype(),
        "set_num_threads": torch.get_num_threads(),
        "set_rng_state": torch.get_rng_state(),
    }


def restore_torch(settings: Mapping[str, Any]) -> None:
    """Put torch's settings back; where it was not imported before, gradients are on, as in every new process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        for name, value in (settings or {"set_grad_enabled": True, "set_default_dtype": torch.float32}).items():
            getattr(torch, name)(value)
