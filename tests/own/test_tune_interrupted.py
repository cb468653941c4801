"""Ctrl-C in ``tunebench tune``, in a process of its own."""

import os
import signal
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "chaos"))
from helpers import family, finish, start, survivors, unfinished

WAITS = '''
import time
from pathlib import Path
from tunebench import LogitEdit, Tuner, hookimpl


class Waits(Tuner):
    """Gives the original back, but not while there is a file called hold beside it."""

    name = "waits"

    def tune(self, task, params, prepared):
        while Path("HOLD").exists():
            time.sleep(0.05)
        return LogitEdit.of_target(task)


@hookimpl
def tunebench_tuners():
    return [Waits()]
'''


def test_finished_cells_are_kept(home, tmp_path):
    """Exit code 130 and one line, nothing called tuned, nothing half-written; the same command computes the rest."""
    out, cache, hold, plugin = (tmp_path / name for name in ("out", "cache", "hold", "waits.py"))
    plugin.write_text(WAITS.replace("HOLD", str(hold)))
    hold.touch()
    tuners = ("--tuner", "logit-bias", "--tuner", "waits", "--plugin", plugin, "-j", "2")
    command = home.arguments("-o", out, *tuners)
    process = start(*command, cache=cache)
    while len(list(out.glob("cells/**/*.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    processes = family(process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(err.strip().splitlines()) == 1
    assert "finished cells are kept" in err
    assert survivors(processes) == []
    assert unfinished(out, cache) == []
    assert [path for path in out.rglob("*") if "tuned" in path.name or path.name.startswith("report")] == []
    kept = {path: path.stat().st_mtime_ns for path in out.glob("cells/**/*.json")}
    assert len(kept) == 2
    hold.unlink()
    finish(*command, cache=cache)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(out.glob("cells/**/*.json"))) == 3
    assert (out / "tuned.safetensors").is_file()
