"""The command line: one line for every mistake, nothing written by it, and the commands that only look."""

import json
import os
import subprocess
import sys

import pytest

from tunebench import __version__

TUNER = """
from tunebench import LogitEdit, Tuner

class Nudge(Tuner):
    \"\"\"Adds one logit.\"\"\"
    name = "nudge"

    def tune(self, task, params, prepared):
        return LogitEdit.of_target(task, bias=1.0)
"""


def everything_in(folder):
    """Every path below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a few good and bad files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file\n")
    (tmp_path / "key.toml").write_text("sedes = 3\n")
    (tmp_path / "text.toml").write_text("seeds = [\n")
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    (tmp_path / "twice.py").write_text(TUNER.replace('"nudge"', '"sj"'))
    (tmp_path / "nudge.py").write_text(TUNER)
    return tmp_path


MISTAKES = {
    "run -d digist": "unknown data set 'digist'; did you mean digits",
    "run -m modle1": "unknown model 'modle1'; did you mean model1",
    "run -m mlp:0": "write the hidden widths as in mlp:100-64",
    "run -t orignal": "unknown tuner 'orignal'; did you mean original",
    "run -t zz*": "unknown tuner 'zz*'; known: ",
    "run --target wekest": "unknown target 'wekest'; did you mean weakest",
    "run --target 10": "digits has classes 0 to 9",
    "run --target weakest:11": "digits has 10 classes",
    "run --seeds 0": "seeds is 0; give at least 1",
    "run --seeds many": "Invalid value for '--seeds'",
    "run --trials 1": "trials is 1; give at least 2",
    "run --budget -0.1": "budget is -0.1",
    "run --budget nan": "budget is nan",
    "run --protocol papr": "unknown protocol 'papr'; did you mean paper",
    "run --recipe qick": "unknown recipe 'qick'; did you mean quick",
    "run -d digits --recipe paper": "no published recipe for 'digits'",
    "run --margin 2se": "unknown margin '2se'; did you mean 1se",
    "run --timeout soon": "'soon' is not a duration",
    "run -j 0": "Invalid value for '-j'",
    "run -o file": "cannot write file",
    "run -o file/below": "cannot write file",
    "run key.toml": "key.toml: unknown key 'sedes'; did you mean seeds",
    "run text.toml": "text.toml: not valid TOML",
    "run none.toml": "cannot read the suite none.toml: No such file",
    "run --plugin none.py": "--plugin none.py: No such file",
    "run --plugin broken.py": "--plugin broken.py: ModuleNotFoundError: No module named 'no_such_module'",
    "run --plugin twice.py": "tuner 'sj' is defined by both 'synapse' and 'twice.py'",
    "list --plugin broken.py": "--plugin broken.py: ModuleNotFoundError",
    "run --sedes 3": "No such option",
    "list tuner": "'tuner' is not one of 'tuners', 'datasets', 'models', 'compressions', 'plugins'",
    "leaderboard none": "none holds no run",
    "rnu": "unknown command 'rnu'; did you mean run",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line(tunebench, here, own_cache, command):
    """Exit code 2, one line on stderr that says what is wrong, nothing on stdout, and nothing written anywhere."""
    before = everything_in(here), everything_in(own_cache)
    done = tunebench(*command.split())
    assert (done.code, done.out) == (2, ""), done
    assert done.err.startswith("tunebench: ")
    assert done.err.count("\n") == 1
    assert MISTAKES[command] in done.err
    assert (everything_in(here), everything_in(own_cache)) == before


def test_a_missing_data_set_says_what_to_put_where(tunebench, here, monkeypatch):
    """Offline and without --download, the data set's files and their folder are named in one line."""
    monkeypatch.delenv("TUNEBENCH_DATA", raising=False)
    without, empty = tunebench("run", "-d", "mnist"), tunebench("run", "-d", "mnist", "--data-dir", here)
    assert without.code == empty.code == 2
    assert without.err.count("\n") == empty.err.count("\n") == 1
    assert "set TUNEBENCH_DATA or pass --data-dir" in without.err
    assert str(here / "MNIST" / "raw") in empty.err
    assert "train-images-idx3-ubyte" in empty.err
    assert "--download" in empty.err


def test_another_protocol_in_the_same_folder_is_refused(tunebench, digits_run):
    """Results that were selected on test never mix with results that were not."""
    before = everything_in(digits_run)
    done = tunebench("run", "-t", "original", "--protocol", "paper", "-o", digits_run)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "holds results of --protocol holdout; choose another -o OUT" in done.err
    assert everything_in(digits_run) == before


def test_a_dry_run_writes_nothing(tunebench, here, own_cache):
    """--dry-run prints the grid, its size and an estimate, and leaves neither OUT nor anything in the cache."""
    before = everything_in(here), everything_in(own_cache)
    done = tunebench("run", "-t", "sj*", "-t", "original", "--seeds", "5", "--dry-run", "-o", "out", "-j", "2")
    assert done.code == 0, done.err
    assert (everything_in(here), everything_in(own_cache)) == before
    assert "tuners     original, sj, sj-k3, sj-k4, sj-k5" in done.out
    assert "models     model1, model2" in done.out
    assert "originals  10" in done.out
    assert "cells      50" in done.out
    assert "estimate" in done.out


def test_a_dry_run_finds_mistakes_too(tunebench, here):
    """What a run would refuse, its dry run refuses."""
    assert tunebench("run", "--dry-run", "--target", "wekest").code == 2


def test_list_as_text_and_json(tunebench, here):
    """Tuners with the first line of their docstring, data sets, models and plugins; a --plugin file joins them."""
    done = tunebench("list", "--json", "--plugin", "nudge.py")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert sorted(found) == ["compressions", "datasets", "honours", "models", "plugins", "tuners"]
    assert found["tuners"]["nudge"] == "Adds one logit."
    assert list(found["tuners"]) == sorted(found["tuners"])
    assert {"original", "sj", "smvt-sj", "sj-k3", "sj-k4", "sj-k5", "cw-p", "cs-p"} <= set(found["tuners"])
    assert {"digits", "mnist", "fashion-mnist", "svhn", "emnist-balanced", "emnist-letters"} <= set(found["datasets"])
    assert {"model1", "model2"} <= set(found["models"])
    assert found["plugins"]["nudge.py"] == "ok"
    text = tunebench("list", "tuners").out
    assert "  smvt-sj " in text
    assert "nudge" not in text


def test_a_blocked_plugin_is_not_listed(tunebench, monkeypatch):
    """TUNEBENCH_DISABLED_PLUGINS takes a whole family away."""
    monkeypatch.setenv("TUNEBENCH_DISABLED_PLUGINS", "synapse")
    found = json.loads(tunebench("list", "--json").out)
    assert "smvt-sj" not in found["tuners"]
    assert "original" in found["tuners"]
    assert "synapse" not in found["plugins"]


@pytest.mark.parametrize(
    ("kind", "start"), [("table", "digits"), ("markdown", "# "), ("csv", "dataset,"), ("json", "{")]
)
def test_the_leaderboard_command_prints_what_the_run_wrote(tunebench, digits_run, kind, start):
    """It is made anew from the cells and equals the file of the same format."""
    done = tunebench("leaderboard", digits_run, "--format", kind)
    assert done.code == 0, done.err
    assert done.out.startswith(start)
    suffix = {"markdown": "md"}.get(kind, kind)
    if kind != "table":
        assert done.out == (digits_run / f"leaderboard.{suffix}").read_text("utf-8")


def test_version_and_the_module_form():
    """`python -m tunebench --version` is the installed version."""
    done = subprocess.run([sys.executable, "-m", "tunebench", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"tunebench {__version__}\n")


@pytest.mark.parametrize("command", ["leaderboard {} --format json", "list --json"])
def test_a_closed_pipe_is_no_error(digits_run, command):
    """`tunebench leaderboard OUT | head -1` ends quietly."""
    command = f"{sys.executable} -m tunebench {command.format(digits_run)} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_the_cache_command(tunebench, own_cache, tmp_path, monkeypatch):
    """The size names the folder; clearing empties it and says what came free."""
    assert str(own_cache) in tunebench("cache").out
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "tunebench").mkdir()
    (tmp_path / "tunebench" / "big").write_bytes(bytes(2_000_000))
    assert tunebench("cache", "size").out.startswith("2.0 MB")
    assert tunebench("cache", "clear").out.startswith("freed 2.0 MB")
    assert not (tmp_path / "tunebench").exists()


def test_list_says_which_limits_tuners_honour(tunebench):
    """As lists by tuner, in the JSON of tuners alone."""
    honours = json.loads(tunebench("list", "tuners", "--json").out)["honours"]
    assert honours["smvt-sj"] == ["max_new_params", "max_steps", "max_weight", "protect", "synapse_layers"]
    assert honours["tau-norm"] == ["max_new_params", "max_steps", "synapse_layers"]
    assert "honours" not in json.loads(tunebench("list", "models", "--json").out)
    assert "honours" not in tunebench("list").out
