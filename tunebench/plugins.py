"""The pluggy host: load plugins one by one, collect what they offer, say which one is broken and why."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
import types
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import metadata
from typing import Any

import pluggy

from tunebench import hookspecs
from tunebench.compression import Compression
from tunebench.digests import code_digest, module_that_holds
from tunebench.errors import ENDED, PluginError, UsageError
from tunebench.naming import match_names, said, unknown_name
from tunebench.source import PluginFile as PluginFile
from tunebench.source import contained
from tunebench.tuner import Tuner

ENTRY_POINTS = "tunebench"
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Refused:
    """A class of a plugin file that is no tuner, though it has a tuner's name."""

    name: str
    why: str
    quiet: bool = False
    """Whether only somebody who asks for it is told."""


@dataclass
class Registry:
    """Everything that plugins offer, and what went wrong with those that are missing."""

    manager: pluggy.PluginManager
    problems: dict[str, str] = field(default_factory=dict)
    """Plugin name -> one line about why it, or one of its hooks, is not used."""
    refused: dict[str, str] = field(default_factory=dict)
    """Tuner name -> one line about why it is not used."""
    _owners: dict[str, str] = field(default_factory=dict)

    def offered(self, hook: str) -> list[tuple[str, Any]]:
        """(plugin name, object) for everything that the implementations of ``hook`` return; each is called alone."""
        found = []
        for impl in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                with contained():
                    found += [(impl.plugin_name, item) for item in impl.function()]
            except ENDED:
                raise
            except BaseException as exc:
                self.report(impl.plugin_name, f"{hook}() failed: {said(exc)}")
        return found

    def report(self, plugin: str, problem: str) -> None:
        """Note a problem of a plugin, after those that it has already."""
        known = self.problems.get(plugin)
        if problem not in (known or "").split("; "):
            self.problems[plugin] = f"{known}; {problem}" if known else problem

    def offered_tuners(self) -> list[tuple[str, Any]]:
        """(plugin name, object) for what is offered as a tuner, good or not; classes that are none are noted."""
        found = []
        for plugin, item in self.offered("tunebench_tuners"):
            if not isinstance(item, Refused):
                found.append((plugin, item))
                continue
            self.refused[item.name] = f"{plugin}: {item.why}"
            if not item.quiet:
                self.report(plugin, item.why)
        return found

    @cached_property
    def tuners(self) -> dict[str, Tuner]:
        """All tuners, sorted by name; PluginError when two plugins use one name."""
        found: dict[str, Tuner] = {}
        for plugin, tuner in self.offered_tuners():
            fault = tuner_fault(tuner)
            if fault:
                self.refused[str(getattr(tuner, "name", ""))] = f"{plugin}: {fault}"
                self.report(plugin, fault)
                continue
            if tuner.name in found:
                raise PluginError(
                    f"tuner {tuner.name!r} is defined by both {self._owners[tuner.name]!r} and {plugin!r}; "
                    "rename one, or block a plugin with TUNEBENCH_DISABLED_PLUGINS"
                )
            found[tuner.name], self._owners[tuner.name] = tuner, plugin
        return dict(sorted(found.items()))

    @cached_property
    def compressions(self) -> dict[str, tuple[str, Compression]]:
        """(plugin name, compression) of every usable one, sorted by name; of two of one name the first stays."""
        found: dict[str, tuple[str, Compression]] = {}
        for plugin, item in self.offered("tunebench_compressions"):
            name = getattr(item, "name", None)
            if not isinstance(item, Compression):
                self.report(plugin, f"tunebench_compressions() returned {type(item).__name__}, not a Compression")
            elif not isinstance(name, str) or not SLUG.fullmatch(name):
                self.report(plugin, f"compression name {name!r} is not a slug (lower case letters, digits, hyphens)")
            elif name in found:
                self.report(plugin, f"compression {name!r} is defined by {found[name][0]!r} already")
            else:
                found[name] = plugin, item
        return dict(sorted(found.items()))

    def written_compressions(self) -> Iterator[tuple[str, Compression]]:
        """What can be written after a ``+``, ``NAME`` or ``NAME:VALUE`` with the default, and the compression."""
        for name, (_, compression) in self.compressions.items():
            yield name if compression.default is None else f"{name}:{compression.default}", compression

    def named(self, hook: str) -> dict[str, Any]:
        """What plugins offer through ``hook`` (data sets or models), by name."""
        return {item.name: item for _, item in self.offered_by_name(hook)}

    def offered_by_name(self, hook: str) -> list[tuple[str, Any]]:
        """(plugin name, object) for all that ``hook`` gives and that has a name; what has none is a problem."""
        found = []
        for plugin, item in self.offered(hook):
            if isinstance(getattr(item, "name", None), str) and item.name:
                found.append((plugin, item))
            else:
                self.report(plugin, f"{hook}() returned {type(item).__name__}, which has no name")
        return found

    def tuner(self, name: str) -> Tuner:
        """The tuner called ``name``; UsageError, with the nearest names or the reason, when there is none."""
        if name not in self.tuners:
            raise self.unknown(name)
        return self.tuners[name]

    def unknown(self, name: str) -> UsageError:
        """The error for a tuner that there is not: refused, mistyped, or in a plugin that did not load."""
        if name in self.refused:
            return UsageError(f"tuner {name!r} is not used: {self.refused[name]}")
        broken = "; ".join(f"plugin {plugin!r} is not used: {why}" for plugin, why in self.problems.items())
        error = unknown_name("tuner", name, self.tuners)
        return UsageError(f"{error}; {broken}") if broken else error

    def select(self, patterns: Iterable[str]) -> list[str]:
        """Names of the tuners that match any of the glob ``patterns``, sorted; each pattern has to match."""
        return match_names(patterns, self.tuners, self.unknown)

    def plugin_of(self, tuner: str) -> str:
        """Name of the plugin that defines ``tuner``."""
        self.tuner(tuner)
        return self._owners[tuner]

    def digest(self, tuner: str) -> str:
        """Content of the whole top-level package, or file, that defines ``tuner``, as hex sha256.

        Where the plugin only passes on a tuner of another package, both count.
        """
        return self.digest_of(self.plugin_of(tuner), type(self.tuner(tuner)).__module__)

    def digest_of(self, plugin: str, *names: str) -> str:
        """Content of the code of ``plugin``, and of the modules ``names`` that define what it offers, as hex sha256."""
        found = [module_that_holds(self.manager.get_plugin(plugin)), *(sys.modules[name] for name in names)]
        modules = {id(module): module for module in found}
        return hashlib.sha256("".join(map(code_digest, modules.values())).encode()).hexdigest()

    def owners_of(self, hook: str, name: str) -> tuple[str, ...]:
        """Names of the plugins that offer ``name`` through ``hook``; none where it is a bundled one."""
        return tuple(plugin for plugin, item in self.offered_by_name(hook) if item.name == name)


@cache
def installed() -> tuple[metadata.EntryPoint, ...]:
    """Entry points of all installed plugins, by name; looking through every distribution takes a while."""
    return tuple(sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name))


def version_of(package: str) -> str | None:
    """Installed version of ``package``."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def load_registry(
    files: Iterable[PluginFile] = (), *, entry_points: bool = True, only: Container[str] | None = None
) -> Registry:
    """Load installed plugins, then ``files``; an installed plugin that fails becomes a problem, a file an error.

    ``only`` names the plugins to load; None means all.
    """
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    for spec in hookspecs.NAMESPACES:
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
        fault = register(manager, file.name, file.load)
        if fault:
            raise PluginError(f"--plugin {file.name}: {fault}")
    return registry


def register(manager: pluggy.PluginManager, name: str, load: Callable[[], Any]) -> str | None:
    """Load one plugin and check its hooks at once; returns what is wrong, or None."""
    try:
        with contained():
            plugin = load()
        if manager.get_name(plugin):
            return None
        if isinstance(plugin, types.ModuleType) and not any(
            hasattr(item, f"{hookspecs.NAMESPACE}_impl") for item in vars(plugin).values()
        ):
            adopt_tuners(plugin)
        manager.register(plugin, name)
        manager.check_pending()
    except ENDED:
        raise
    except BaseException as exc:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        return said(exc)
    return None


def adopt_tuners(module: types.ModuleType) -> None:
    """Give a module without hooks one: the ten-line plugin is a Tuner subclass and nothing else.

    A class without a name is a base of others and is left out.
    """
    classes = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Tuner) and item.__module__ == module.__name__
    ]
    if not classes:
        raise PluginError("defines neither a Tuner nor a tunebench hook")
    named = [cls for cls in classes if cls.name]
    if not named:
        raise PluginError(f"{', '.join(cls.__name__ for cls in classes)} has no name; write: name = 'my-tuner'")

    @hookspecs.hookimpl
    def tunebench_tuners() -> list[Tuner | Refused]:
        return [made(cls) for cls in named]

    module.tunebench_tuners = tunebench_tuners  # type: ignore[attr-defined]


def made(cls: type[Tuner]) -> Tuner | Refused:
    """An instance of a tuner's class, or why there is none."""
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        return Refused(cls.name, f"{cls.__name__} is abstract, it does not define {missing}", quiet=True)
    try:
        return cls()
    except ENDED:
        raise
    except BaseException as exc:
        return Refused(cls.name, f"{cls.__name__}() failed: {said(exc)}")


def tuner_fault(tuner: Any) -> str | None:
    """What makes an object unfit as a tuner, or None."""
    if not isinstance(tuner, Tuner):
        return f"tunebench_tuners() returned {type(tuner).__name__}, not a Tuner instance"
    if not isinstance(tuner.name, str) or not SLUG.fullmatch(tuner.name):
        return f"tuner name {tuner.name!r} is not a slug (lower case letters, digits, hyphens)"
    return None


def summary_of(item: Tuner | Compression) -> str:
    """One sentence on what a tuner or a compression does: its ``summary``, or the first line of its docstring."""
    text = item.summary or (type(item).__doc__ or "").strip()
    return text.partition("\n")[0].replace("`", "").strip()
