"""The pluggy host: load plugins one by one, collect what they offer, say which one is broken and why."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import textwrap
import types
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from tunebench import hookspecs
from tunebench.errors import PluginError, UsageError
from tunebench.naming import unknown_name
from tunebench.tuner import Tuner

ENTRY_POINTS = "tunebench"
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class PluginFile:
    """A ``--plugin`` file by value, so that workers rebuild the registry without the file system."""

    name: str
    source: bytes

    @classmethod
    def read(cls, path: Path) -> PluginFile:
        """Read ``path``; UsageError when that is not possible."""
        try:
            return cls(path.name, path.read_bytes())
        except OSError as exc:
            raise UsageError(f"--plugin {path}: {exc.strerror or exc}") from exc


@dataclass
class Registry:
    """Everything that plugins offer, and what went wrong with those that are missing."""

    manager: pluggy.PluginManager
    problems: dict[str, str] = field(default_factory=dict)
    """Plugin name -> one line about why it, or one of its hooks, is not used."""
    _owners: dict[str, str] = field(default_factory=dict)

    def offered(self, hook: str) -> list[tuple[str, Any]]:
        """(plugin name, object) for everything that the implementations of ``hook`` return; each is called alone."""
        found = []
        for impl in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                found += [(impl.plugin_name, item) for item in impl.function()]
            except (Exception, SystemExit) as exc:
                self.problems[impl.plugin_name] = f"{hook}() failed: {one_line(exc)}"
        return found

    @cached_property
    def tuners(self) -> dict[str, Tuner]:
        """All tuners, sorted by name; PluginError when two plugins use one name."""
        found: dict[str, Tuner] = {}
        for plugin, tuner in self.offered("tunebench_tuners"):
            fault = tuner_fault(tuner)
            if fault:
                self.problems[plugin] = fault
                continue
            if tuner.name in found:
                raise PluginError(
                    f"tuner {tuner.name!r} is defined by both {self._owners[tuner.name]!r} and {plugin!r}; "
                    "rename one, or block a plugin with TUNEBENCH_DISABLED_PLUGINS"
                )
            found[tuner.name], self._owners[tuner.name] = tuner, plugin
        return dict(sorted(found.items()))

    def named(self, hook: str) -> dict[str, Any]:
        """What plugins offer through ``hook`` (data sets or models), by name."""
        return {item.name: item for _, item in self.offered(hook)}

    def tuner(self, name: str) -> Tuner:
        """The tuner called ``name``; UsageError with the nearest names when there is none."""
        if name not in self.tuners:
            raise unknown_name("tuner", name, self.tuners)
        return self.tuners[name]

    def select(self, patterns: Iterable[str]) -> list[str]:
        """Names of the tuners that match any of the glob ``patterns``, sorted; each pattern has to match."""
        return match_names("tuner", patterns, self.tuners)

    def plugin_of(self, tuner: str) -> str:
        """Name of the plugin that defines ``tuner``."""
        self.tuner(tuner)
        return self._owners[tuner]

    def digest(self, tuner: str) -> str:
        """Content of the whole top-level package, or file, that defines ``tuner``, as hex sha256.

        Where the plugin only passes on a tuner of another package, both count.
        """
        plugin = self.manager.get_plugin(self.plugin_of(tuner))
        modules = {id(module): module for module in (module_that_holds(plugin), module_that_holds(self.tuner(tuner)))}
        return hashlib.sha256("".join(map(code_digest, modules.values())).encode()).hexdigest()

    def owners(self, tuner: str, model: str) -> tuple[str, ...]:
        """Names of the plugins that a cell needs: whose tuner, and whose model where it is not a bundled one."""
        models = [plugin for plugin, spec in self.offered("tunebench_models") if spec.name == model]
        return tuple(dict.fromkeys([self.plugin_of(tuner), *models]))


@cache
def installed() -> tuple[metadata.EntryPoint, ...]:
    """Entry points of all installed plugins, by name; looking through every distribution takes a while."""
    return tuple(sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name))


def load_registry(
    files: Iterable[PluginFile] = (), *, entry_points: bool = True, only: Container[str] | None = None
) -> Registry:
    """Load installed plugins, then ``files``; an installed plugin that fails becomes a problem, a file an error.

    ``only`` names the plugins to load; None means all.
    """
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    for spec in (hookspecs.TargetClassTuner, hookspecs.DatasetHooks, hookspecs.ModelHooks):
        manager.add_hookspecs(spec)
    registry = Registry(manager)
    blocked = {name.strip() for name in os.environ.get("TUNEBENCH_DISABLED_PLUGINS", "").split(",")}
    for point in installed() if entry_points else ():
        wanted = point.name not in blocked and (only is None or point.name in only)
        if wanted and not manager.has_plugin(point.name):
            fault = register(manager, point.name, point.load)
            if fault:
                registry.problems[point.name] = fault
    for file in files:
        if only is not None and file.name not in only:
            continue
        fault = register(manager, file.name, partial(module_of, file))
        if fault:
            raise PluginError(f"--plugin {file.name}: {fault}")
    return registry


def register(manager: pluggy.PluginManager, name: str, load: Callable[[], Any]) -> str | None:
    """Load one plugin and check its hooks at once; returns what is wrong, or None."""
    try:
        plugin = load()
        if manager.get_name(plugin):
            return None
        if isinstance(plugin, types.ModuleType) and not any(
            hasattr(item, f"{hookspecs.NAMESPACE}_impl") for item in vars(plugin).values()
        ):
            adopt_tuners(plugin)
        manager.register(plugin, name)
        manager.check_pending()
    except (Exception, SystemExit) as exc:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        return one_line(exc)
    return None


def adopt_tuners(module: types.ModuleType) -> None:
    """Give a module without hooks one: the ten-line plugin is a Tuner subclass and nothing else."""
    classes = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Tuner) and item.__module__ == module.__name__
    ]
    if not classes:
        raise PluginError("defines neither a Tuner nor a tunebench hook")

    @hookspecs.hookimpl
    def tunebench_tuners() -> list[Tuner]:
        return [cls() for cls in classes]

    module.tunebench_tuners = tunebench_tuners  # type: ignore[attr-defined]


def module_of(file: PluginFile) -> types.ModuleType:
    """Execute a plugin file as a module of its own."""
    name = f"tunebench_file_{hashlib.sha256(file.source).hexdigest()[:12]}"
    module = types.ModuleType(name)
    module.__file__ = file.name
    module.__dict__["__tunebench_source__"] = file.source
    sys.modules[name] = module
    try:
        exec(compile(file.source, file.name, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def tuner_fault(tuner: Any) -> str | None:
    """What makes an object unfit as a tuner, or None."""
    if not isinstance(tuner, Tuner):
        return f"tunebench_tuners() returned {type(tuner).__name__}, not a Tuner instance"
    if not isinstance(tuner.name, str) or not SLUG.fullmatch(tuner.name):
        return f"tuner name {tuner.name!r} is not a slug (lower case letters, digits, hyphens)"
    return None


def summary_of(tuner: Tuner) -> str:
    """One sentence on what ``tuner`` does: its `summary`, or the first line of its class docstring."""
    text = tuner.summary or (type(tuner).__doc__ or "").strip()
    return text.partition("\n")[0].replace("`", "").strip()


def match_names(kind: str, patterns: Iterable[str], known: Mapping[str, Any] | Iterable[str]) -> list[str]:
    """Known names that match any glob pattern, sorted; UsageError for a pattern without a match."""
    names = sorted(known)
    chosen: set[str] = set()
    for pattern in patterns:
        hits = [name for name in names if fnmatchcase(name, pattern)]
        if not hits:
            raise unknown_name(kind, pattern, names)
        chosen.update(hits)
    return sorted(chosen)


def module_that_holds(item: Any) -> types.ModuleType:
    """A module itself, or the one that defines an object's class."""
    return item if isinstance(item, types.ModuleType) else sys.modules[type(item).__module__]


def code_digest(module: types.ModuleType) -> str:
    """Hex sha256 over the content of a module's whole top-level package, or of its one file."""
    source = getattr(module, "__tunebench_source__", None)
    if source is not None:
        return hashlib.sha256(source).hexdigest()
    top = importlib.util.find_spec(module.__name__.partition(".")[0])
    digest = hashlib.sha256()
    if top is not None and top.origin:
        origin = Path(top.origin)
        package = bool(top.submodule_search_locations)
        for path in sorted(origin.parent.rglob("*")) if package else [origin]:
            name = path.relative_to(origin.parent)
            made = any(part == "__pycache__" or part.startswith(".") for part in name.parts)
            if path.is_file() and not made:
                digest.update(str(name).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def one_line(exc: BaseException) -> str:
    """An exception as one line of bounded length: its type and its text."""
    return textwrap.shorten(f"{type(exc).__name__}: {exc}".rstrip(": "), width=300, placeholder=" ...")
