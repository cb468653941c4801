"""What a full disk, a read-only folder and killed runs leave behind: complete files or none."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import run_command
from hypothesis import HealthCheck, settings

from tunebench import StoreError
from tunebench.results.store import Store, read_json, write_json, write_text

SHAPELESS = {"provenance", "options", "inputs", "reason"}
"""Parts of a record that no figure depends on, or that are compared with the run's as a whole."""
ALWAYS_WRONG = ("@1e999@", "@-1e999@", "@NaN@", 10**400, 10**30, "\x1b[2J", "\u202egpj.exe", "\ud800")
"""Values that no field may have; those between @ become bare words."""
SAME = ("run", "-d", "digits", "-m", "model1", "--seeds", "2", "--budget", "1.0", "-t", "original", "-q")
"""Part of the grid of `digits_run`."""
many = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def disk_full(*_):
    """Stands in for a write when no space is left."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_no_partial_file(call, tmp_path, monkeypatch):
    """Whatever step of writing fails, the old file stays, no other appears, and the error is one line."""
    path = tmp_path / "0.json"
    write_json(path, {"old": 1})
    monkeypatch.setattr(os, call, disk_full)
    with pytest.raises(StoreError, match=r"cannot write .*0.json: No space left on device; free space or choose"):
        write_text(path, "new" * 1000)
    monkeypatch.undo()
    assert read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["0.json"]


GRID = ("run", "-d", "digits", "-m", "mlp:8", "--target", "1", "--seeds", "1", "--trials", "2", "-t", "original", "-q")


def tunebench_process(*args, limit=None, **env):
    """The command in a process of its own, with files limited to ``limit`` bytes."""
    preexec = None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    command = [sys.executable, "-m", "tunebench", *map(str, args)]
    # Python keeps the beginning of a .pyc that did not fit, and every later process stumbles over it
    surroundings = {**os.environ, **env, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=surroundings, preexec_fn=preexec, check=False)


def temporary(folder):
    """Unfinished files below ``folder``."""
    return [path for path in Path(folder).rglob("*") if path.name.endswith(".tmp") or ".building-" in path.name]


def test_a_full_disk_under_out(own_cache, tmp_path):
    """A run on a full disk ends with one line and exit code 2, and what it wrote is complete."""
    out = tmp_path / "out"
    assert run_command(*GRID, "-o", tmp_path / "first").code == 0  # the original is in the cache now
    done = tunebench_process(*GRID, "-o", out, limit=2000)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "File too large; free space or choose another -o OUT" in done.stderr
    assert temporary(out) == []
    for path in out.rglob("*.json"):
        assert read_json(path)


def test_a_full_disk_under_the_cache(tmp_path):
    """The same for the cache: one line, exit code 2, and no folder that only looks complete."""
    done = tunebench_process(*GRID, "-o", tmp_path / "out", limit=2000, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot write the cache" in done.stderr
    assert temporary(tmp_path) == []
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.name.endswith(".safetensors")]


def test_out_that_cannot_be_written(tmp_path):
    """An OUT that is no folder ends with one line and exit code 2 before anything is computed."""
    out = tmp_path / "out"
    out.write_text("mine")
    done = run_command(*GRID, "-o", out)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "choose another -o OUT" in done.err
    assert out.read_text() == "mine"


def test_a_read_only_out(tmp_path, monkeypatch):
    """So does a read-only one."""

    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tunebench.results.store.tempfile.TemporaryFile", read_only)
    done = run_command(*GRID, "-o", tmp_path / "out")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "Read-only file system; choose another -o OUT" in done.err


def test_a_cache_that_cannot_be_written(tmp_path):
    """A file in place of the cache folder ends with one line that names it, and exit code 2."""
    (tmp_path / "cache").write_text("")
    done = tunebench_process(*GRID, "-o", tmp_path / "out", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot write the cache" in done.stderr


def test_left_overs_of_killed_runs_are_cleared_away(tmp_path):
    """Temporary files of dead processes go, those of living ones stay, those of other machines stay for a day."""
    store = Store(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = os.uname().nodename
    names = {
        f".tunebench-{host}-{dead.pid}-{'a' * 16}.tmp": False,
        f".tunebench-{host}-{os.getpid()}-{'b' * 16}.tmp": True,
        f".tunebench-elsewhere-1-{'c' * 16}.tmp": True,
        f".tunebench-elsewhere-1-{'d' * 16}.tmp": False,
    }
    for name in names:
        (tmp_path / name).touch()
    os.utime(tmp_path / f".tunebench-elsewhere-1-{'d' * 16}.tmp", (0, 0))
    store.prepare()
    assert {name: (tmp_path / name).exists() for name in names} == names
