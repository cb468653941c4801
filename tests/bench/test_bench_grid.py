"""A grid of cells that do nothing, beside benchopt's of the same size: what the machinery itself takes.

Twenty tuners or solvers, three seeds, two workers, and a page in the end. Ours also trains the three networks.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trivial
from references import note

PEER = Path(__file__).with_name("peer")
ROUNDS = 5
TWENTY = ("-t", "trivial-?", "-t", "trivial-1?")


def seconds_of(folder, *command):
    """Seconds of ``python -m COMMAND`` with ``folder`` as cache and working directory."""
    start = time.perf_counter()
    surroundings = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    subprocess.run([sys.executable, "-m", *command], cwd=folder, env=surroundings, check=True, capture_output=True)
    return time.perf_counter() - start


@pytest.fixture(scope="module")
def ratios(tmp_path_factory):
    """Of every round ours / benchopt, of a grid from an empty cache and of the same command again."""
    if importlib.util.find_spec("benchopt") is None:
        pytest.skip("needs the peer: pip install benchopt")
    found = []
    for _ in range(ROUNDS):
        folder = tmp_path_factory.mktemp("round")
        shutil.copytree(PEER, folder / "peer")
        peer = folder, "benchopt", "run", "peer", "-j", "2", "--no-display"
        grid = ("-d", "digits", "-m", "mlp:8", *TWENTY, "--seeds", "3", "--trials", "2", "--recipe", "quick")
        ours = folder, "tunebench", "run", *grid, "--plugin", trivial.__file__, "-j", "2", "-q", "-o", "out"
        seconds = [(seconds_of(*ours), seconds_of(*peer)) for _ in ("empty", "again")]
        assert len(list((folder / "out" / "cells").rglob("*.json"))) == 60
        assert list((folder / "peer" / "outputs").glob("*.html"))
        print(*(f"{mine:.1f} / {theirs:.1f} s" for mine, theirs in seconds))
        found.append([mine / theirs for mine, theirs in seconds])
    return dict(zip(("empty", "again"), zip(*found, strict=True), strict=True))


@pytest.mark.parametrize(
    ("when", "what", "against", "limit"),
    [
        ("empty", "a grid of 60 trivial cells, empty cache", "benchopt, 20 solvers x 3 seeds", 1.0),
        ("again", "the same grid, finished, again", "benchopt, again", 1.0),
    ],
)
def test_trivial_grid(benchmark, ratios, when, what, against, limit):
    """Grids of cells that do nothing take no longer than benchopt's."""
    ratio = statistics.median(ratios[when])
    note(benchmark, what, against, ratio, limit)
    benchmark.pedantic(lambda: None)
    assert ratio <= limit
