"""The plugin host: one plugin's fault is reported by name and never takes the others down."""

import re
import types

import pytest

from tunebench import PluginError, Tuner, UsageError, hookimpl, plugins
from tunebench.plugins import PluginFile, load_registry

TEN_LINES = b'''
from tunebench import LogitEdit, Tuner

class Nudge(Tuner):
    """Adds one logit."""
    name = "nudge"

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=1.0)
'''


class Point:
    """An entry point that loads what it is given, or raises it."""

    def __init__(self, name, loaded):
        self.name, self.loaded = name, loaded

    def load(self):
        """What `importlib.metadata.EntryPoint.load` does."""
        if isinstance(self.loaded, BaseException):
            raise self.loaded
        return self.loaded


def named(name):
    """A tuner of that name."""
    tuner = Tuner()
    tuner.name = name
    return tuner


def module(name, **hooks):
    """A plugin module with the given hooks, each a function without arguments."""
    found = types.ModuleType(name)
    for hook, function in hooks.items():
        setattr(found, hook, hookimpl(function))
    return found


def offering(name, *tuners):
    """A plugin module that offers ``tuners``."""
    return module(name, tunebench_tuners=lambda: list(tuners))


@pytest.fixture
def registry_of(monkeypatch):
    """``registry_of({name: module or exception})``: a fresh plugin manager over just these entry points."""

    def load(points, files=()):
        found = [Point(name, loaded) for name, loaded in sorted(points.items())]
        monkeypatch.setattr(plugins, "installed", lambda: found)
        return load_registry(files)

    return load


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (ImportError("no module named spam"), "ImportError: no module named spam"),
        (ValueError("first line\nsecond line"), "ValueError: first line second line"),
        (SystemExit(3), "SystemExit: 3"),
        (types.ModuleType("empty"), "defines neither a Tuner nor a tunebench hook"),
        (module("typo", tunebench_tuner=lambda: ()), "unknown hook 'tunebench_tuner'"),
        (module("arguments", tunebench_tuners=lambda surplus: []), "surplus"),
    ],
    ids=["import", "two lines", "exit", "empty", "misspelt hook", "wrong arguments"],
)
def test_a_plugin_that_does_not_load(registry_of, broken, cause):
    """It is reported by name with the cause in one line; plugins before and after it work."""
    around = {"alpha": offering("alpha", named("a")), "omega": offering("omega", named("z"))}
    registry = registry_of({**around, "broken": broken})
    assert list(registry.tuners) == ["a", "z"]
    assert list(registry.problems) == ["broken"]
    assert cause in registry.problems["broken"]
    assert "\n" not in registry.problems["broken"]


def raises(error):
    """A hook that fails."""

    def hook():
        raise error

    return hook


@pytest.mark.parametrize(
    ("hook", "cause"),
    [
        (raises(RuntimeError("no licence")), r"tunebench_tuners\(\) failed: RuntimeError: no licence"),
        (raises(SystemExit(1)), r"tunebench_tuners\(\) failed: SystemExit"),
        (lambda: None, r"tunebench_tuners\(\) failed: TypeError"),
        (lambda: ["sj"], r"returned str, not a Tuner instance"),
        (lambda: [Tuner], r"returned type, not a Tuner instance"),
        (lambda: [named("Not A Slug")], r"'Not A Slug' is not a slug"),
        (lambda: [named("")], r"'' is not a slug"),
    ],
    ids=["raises", "exits", "nothing", "names", "class", "no slug", "no name"],
)
def test_a_hook_that_fails(registry_of, hook, cause):
    """Each implementation is called on its own: one that fails or returns junk leaves the others' tuners."""
    registry = registry_of({"good": offering("good", named("a")), "odd": module("odd", tunebench_tuners=hook)})
    assert list(registry.tuners) == ["a"]
    assert list(registry.problems) == ["odd"]
    assert re.search(cause, registry.problems["odd"]), registry.problems


def test_a_name_used_twice_names_both_plugins(registry_of):
    """Two plugins that define one tuner name are an error that says who and what to do."""
    registry = registry_of({"one": offering("one", named("sj")), "two": offering("two", named("sj"))})
    with pytest.raises(PluginError, match=r"'sj' is defined by both 'one' and 'two'; .*TUNEBENCH_DISABLED_PLUGINS"):
        registry.tuners  # noqa: B018


def test_blocked_plugins_stay_out(registry_of, monkeypatch):
    """TUNEBENCH_DISABLED_PLUGINS keeps plugins out by name, which also settles a clash."""
    monkeypatch.setenv("TUNEBENCH_DISABLED_PLUGINS", "two, three")
    points = {name: offering(name, named("sj")) for name in ("one", "two", "three")}
    registry = registry_of(points)
    assert registry.plugin_of("sj") == "one"
    assert registry.problems == {}


def test_tuners_are_listed_by_name(registry_of):
    """The order of loading never shows."""
    points = {"a": offering("a", named("c"), named("a")), "b": offering("b", named("b"))}
    assert list(registry_of(points).tuners) == ["a", "b", "c"]


def test_ten_lines_are_a_plugin(registry_of):
    """A file with a Tuner that has a name and tune, and no hook, works; its name, owner and content are known."""
    registry = registry_of({}, [PluginFile("nudge.py", TEN_LINES)])
    assert registry.plugin_of("nudge") == "nudge.py"
    assert registry.tuner("nudge").search_space() == {}
    changed = registry_of({}, [PluginFile("nudge.py", TEN_LINES.replace(b"1.0", b"2.0"))])
    assert registry.digest("nudge") != changed.digest("nudge")
    assert registry.digest("nudge") == registry_of({}, [PluginFile("nudge.py", TEN_LINES)]).digest("nudge")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (b"import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (b"def (", "SyntaxError"),
        (b"\x00", "SyntaxError|ValueError"),
        (b"raise SystemExit(0)", "SystemExit"),
        (b"x = 1", "defines neither a Tuner nor a tunebench hook"),
    ],
    ids=["import", "syntax", "binary", "exit", "no tuner"],
)
def test_a_plugin_file_that_fails_is_an_error(registry_of, source, cause):
    """What the user named on the command line has to work: PluginError with the file and the cause."""
    with pytest.raises(PluginError, match=rf"--plugin mine\.py: .*({cause})"):
        registry_of({}, [PluginFile("mine.py", source)])


def test_a_plugin_file_that_is_not_there(tmp_path):
    """The path is named."""
    with pytest.raises(UsageError, match=r"--plugin .*none\.py: No such file"):
        PluginFile.read(tmp_path / "none.py")


def test_globs_select_tuners(registry_of):
    """Patterns add up, sorted; one without a match is an unknown name."""
    registry = registry_of({"all": offering("all", *map(named, ("original", "sj", "sj-k3", "smvt-sj")))})
    assert registry.select(["s*", "sj"]) == ["sj", "sj-k3", "smvt-sj"]
    with pytest.raises(UsageError, match="unknown tuner 'orignal'; did you mean original"):
        registry.select(["sj", "orignal"])


def test_the_bundled_families_use_the_same_door():
    """Installed entry points give the zero line, the SJ family and the pruning baselines, without a problem."""
    registry = load_registry()
    assert registry.problems == {}
    required = {"original", "sj", "smvt-sj", "sj-k3", "sj-k4", "sj-k5", "cw-p", "cs-p", "logit-bias"}
    assert required <= set(registry.tuners)
