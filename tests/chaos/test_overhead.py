"""What a grid costs beside the cells themselves."""

from __future__ import annotations

import pytest
import tunebench_finetune
from helpers import finish
from overhead import measured

CELLS = 1000
TRAINED = [tuner.name for tuner in tunebench_finetune.tunebench_tuners()]


def test_a_thousand_trivial_cells(own_cache, tmp_path):
    """1,000 cells that do nothing: an overhead of at most 100 ms each, and the runner's memory stays flat."""
    found = measured(tmp_path / "out", "trivial-*", seeds=2)
    assert found.counts == {"ok": CELLS}
    growth = max(found.memory[-100:]) - max(found.memory[100:200])
    print(
        f"overhead {1000 * found.overhead:.0f} ms of processor time beside {1000 * found.alone:.0f} ms of its own; "
        f"{1000 * found.wall:.0f} ms on the clock with 2 workers; memory grew by {growth / 2**20:.1f} MiB"
    )
    assert found.overhead <= 0.100
    assert growth < 20 * 2**20


def test_nothing_to_do_is_quick(own_cache, tmp_path):
    """A second run of a finished grid computes nothing."""
    grid = ("run", "-d", "digits", "-m", "mlp:8", "--seeds", "1", "--trials", "2", "-t", "original", "-q")
    finish(*grid, "-o", tmp_path / "out", cache=tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*s/**/*.json")}
    finish(*grid, "-o", tmp_path / "out", cache=tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("name", ["smvt-sj", "cw-p", "cs-p", "cs-p-ft", *TRAINED])
def test_a_check_takes_seconds(name, tmp_path):
    """`tunebench check` on a bundled tuner, start-up included, takes at most 20 seconds."""
    assert finish("check", name, cache=tmp_path / "cache") <= 20
