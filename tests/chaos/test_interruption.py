"""Whatever ends a run, and whenever: the next one goes on, and the leaderboard is that of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time

import psutil
import pytest
from helpers import GRID, family, figures, finish, start, survivors, unfinished

KILLS = 50


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nothing disturbs: its folder, its cache, and how long it took."""
    root = tmp_path_factory.mktemp("undisturbed")
    return root / "out", root / "cache", finish(*GRID, "-o", root / "out", cache=root / "cache")


def test_random_kills(undisturbed, tmp_path):
    """50 SIGKILLs at random moments: the same figures in the end, no orphan, no temporary file."""
    reference, _, seconds = undisturbed
    out, cache, dice, began = tmp_path / "out", tmp_path / "cache", random.Random(4), 0
    for kill in range(KILLS):
        process = start(*GRID, "-o", out, cache=cache)
        try:
            process.wait(dice.uniform(0, seconds))
        except psutil.TimeoutExpired:
            processes = family(process)
            process.kill()
            process.wait()
            assert survivors(processes) == [], f"orphans after kill {kill}"
        else:  # it was done before it could be killed: begin anew, the originals too
            assert process.returncode == 0
            began += 1
            assert figures(out) == figures(reference)
            shutil.rmtree(out)
            shutil.rmtree(cache)
    finish(*GRID, "-o", out, cache=cache)
    assert figures(out) == figures(reference)
    assert unfinished(out, cache) == []
    assert began < KILLS / 2


@pytest.mark.parametrize(
    ("sent", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_signals(undisturbed, tmp_path, sent, code, word):
    """Ctrl-C and SIGTERM end everything at once with one line; finished cells stay, and the next run goes on."""
    reference, cache, _ = undisturbed
    out = tmp_path / "out"
    process = start(*GRID, "-o", out, cache=cache)
    while not list(out.glob("cells/**/*.json")):
        assert process.poll() is None
        time.sleep(0.05)
    processes = family(process)
    os.killpg(process.pid, signal.SIGINT) if sent == signal.SIGINT else process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    # Ctrl-C leaves "^C" on a terminal, so that a new line begins.
    assert err.lstrip("\n") == f"tunebench: {word}; finished cells are kept, the same command goes on\n"
    assert survivors(processes) == []
    assert unfinished(out, cache) == []
    kept = {path: path.stat().st_mtime_ns for path in out.glob("cells/**/*.json")}
    assert kept
    finish(*GRID, "-o", out, cache=cache)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert figures(out) == figures(reference)


def test_two_runs_on_one_folder(undisturbed, tmp_path):
    """Two runs at once on one OUT, from an empty cache: every cell once, none lost, originals trained once."""
    reference, _, _ = undisturbed
    out, cache = tmp_path / "out", tmp_path / "cache"
    processes = [start(*GRID, "-o", out, cache=cache) for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=900)
        assert process.returncode == 0, err
        assert err == ""
    assert figures(out) == figures(reference)
    assert len(list(out.glob("cells/**/*.json"))) == 16
    assert len([path for path in (cache / "tunebench" / "originals").iterdir() if path.is_dir()]) == 4
    assert unfinished(out, cache) == []


def test_a_killed_worker_costs_a_retry(undisturbed, tmp_path):
    """A worker killed from outside is replaced: the run completes with the same figures."""
    reference, cache, _ = undisturbed
    out = tmp_path / "out"
    process = start(*GRID, "-o", out, cache=cache)
    killed = 0
    while process.poll() is None and killed < 3:
        server = [child for child in process.children() if child.children()]
        for worker in family(process):
            if server and worker.ppid() == server[0].pid and list(out.glob("cells/**/*.json")):
                worker.kill()
                killed += 1
                break
        time.sleep(0.3)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert killed
    assert figures(out) == figures(reference)
