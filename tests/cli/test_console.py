"""A process of the command line: closed, full and broken streams, signals at any time, errors that look like one."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import tunebench
from tunebench import cli
from tunebench.console import end, loading
from tunebench.errors import Interrupted, Terminated
from tunebench.grid.evaluation import last_lines
from tunebench.naming import said

TUNEBENCH = f"{sys.executable} -m tunebench"


def shell(command, **options):
    """A command line run by sh, its output captured."""
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        ("list models >&-", 0, "", ""),
        ("explain nothing 2>&-", 2, "", ""),
        ("list models <&- >&- 2>&-", 0, "", ""),
        ("list models >/dev/full", 2, "", "tunebench: cannot write the output: No space left on device; send"),
        ("explain nothing 2>/dev/full", 2, "", ""),
    ],
)
def test_streams_that_cannot_be_written_to(command, code, out, err):
    """A result or one line, the exit code of the command, and never a traceback."""
    done = shell(f"{TUNEBENCH} {command}")
    assert (done.returncode, done.stdout) == (code, out)
    assert done.stderr.startswith(err)
    assert done.stderr.count("\n") == bool(err)


def test_a_reader_that_leaves_changes_no_exit_code(tmp_path):
    """What fails fails as ever: nothing passes because a pipe broke, neither quietly nor with a traceback."""
    command = f"sleep 1; {TUNEBENCH} gate {tmp_path} --baseline {tmp_path} 2>&1; echo $? >&3"
    done = shell(f"({command}) 3>{tmp_path}/code | true; cat {tmp_path}/code")
    assert (done.stdout, done.stderr) == ("4\n", "")


def test_only_results_reach_standard_output(tmp_path):
    """Whatever a plugin prints when it is imported, through Python, C or a process, the JSON is JSON."""
    (tmp_path / "noisy.py").write_text(
        textwrap.dedent("""
        import os, subprocess
        print("a print")
        os.write(1, b"raw bytes\\n")
        subprocess.run(["echo", "a child"])
        from tunebench import Tuner
        class Noisy(Tuner):
            "Doc."
            name = "noisy"
        """)
    )
    done = shell(f"{TUNEBENCH} list tuners --json --plugin noisy.py", cwd=tmp_path)
    assert json.loads(done.stdout)["tuners"]["noisy"] == "Doc."
    assert all(text in done.stderr for text in ("a print", "raw bytes", "a child"))


def test_what_an_encoding_lacks_is_an_escape(tmp_path):
    """A terminal that knows Latin letters alone gets a result, not a traceback."""
    (tmp_path / "named.py").write_text(
        'from tunebench import Tuner\nclass A(Tuner):\n "\u96f6"\n name = "a-a"\n', "utf-8"
    )
    surroundings = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = shell(f"{TUNEBENCH} list tuners --plugin named.py", cwd=tmp_path, env=surroundings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u96f6" in done.stdout


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (Interrupted(), 130, "interrupted; finished cells are kept"),
        (Terminated(), 143, "terminated; finished cells are kept"),
        (KeyboardInterrupt("of a library"), 1, "KeyboardInterrupt was raised, though nobody interrupted: of a library"),
        (EOFError("a pipe"), 1, "EOFError was raised, though nobody interrupted: a pipe"),
    ],
    ids=["interrupted", "terminated", "library", "end of file"],
)
def test_130_only_when_somebody_interrupted(monkeypatch, capsys, raised, code, said):
    """Click takes a KeyboardInterrupt and an EOFError for a key that was pressed; we know which keys were."""

    def invoke(self, ctx):
        raise raised

    monkeypatch.setattr(cli.LazyGroup, "invoke", invoke)
    with pytest.raises(SystemExit) as ended:
        cli.main(["list"])
    assert ended.value.code == code
    assert capsys.readouterr().err.strip().startswith(f"tunebench: {said}")


def test_a_plugin_that_raises_an_interrupt_is_a_broken_plugin(tmp_path, tunebench):
    """Exit code 2 and its name, not 130: nobody pressed a key."""
    (tmp_path / "odd.py").write_text("raise KeyboardInterrupt('odd')\n")
    done = tunebench("list", "--plugin", tmp_path / "odd.py")
    assert done.code == 2
    assert "odd.py: KeyboardInterrupt: odd" in done.err


INTERRUPTED = """
import os, signal, sys

def hook(event, args, module=sys.argv[1]):
    if event == "import" and args[0] == module:
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(hook)
from tunebench.__main__ import main
sys.argv = ["tunebench", "list", "--plugin", "slow.py"]
main()
"""
"""The console script, with Ctrl-C at the very moment when a certain module is looked for."""
INTERRUPTION = r"\n?tunebench: interrupted[^\n]*\n"
"""What is left on the terminal; once a command has begun, a new line begins after the terminal's own ^C."""
SLOW = "import time\ntime.sleep(60)\n"


@pytest.mark.parametrize("module", ["tunebench.console", "tunebench.cli", "click", "tunebench.plugins"])
def test_ctrl_c_while_a_command_loads_is_one_line(tmp_path, module):
    """Whatever is being imported: from the first module of ours on nothing is a traceback."""
    (tmp_path / "slow.py").write_text(SLOW)
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, module], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert re.fullmatch(INTERRUPTION, done.stderr)


@pytest.mark.parametrize("delay", [0, 0.02, 0.05, 0.1, 0.3, 1])
@pytest.mark.parametrize("command", [["-m", "tunebench"], ["-c", "from tunebench.__main__ import main; main()"]])
def test_ctrl_c_at_any_time_is_one_line(tmp_path, command, delay):
    """Before the first module of ours Python alone is running, and ends as it likes; then it is one line and 130."""
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, *command, "list", "--plugin", "slow.py"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    if process.returncode == 130 and "Traceback" not in err:
        assert re.fullmatch(INTERRUPTION, err)
    else:
        head = Path(tunebench.__file__)  # of which Python is not done with the first line
        ours = [line for line in err.splitlines() if f'File "{head.parent}{os.sep}' in line]
        assert all(str(head) in line for line in ours), err


@pytest.mark.parametrize(
    ("sent", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "termin")]
)
def test_a_signal_during_an_import_ends_the_process(tmp_path, sent, code, word):
    """A plugin whose import takes long, and swallows what is raised in it: one line and the code all the same."""
    (tmp_path / "slow.py").write_text(
        textwrap.dedent("""
        import sys, time
        print("importing", file=sys.stderr, flush=True)
        try:
            time.sleep(60)
        except BaseException:
            pass
        """)
    )
    command = [sys.executable, "-m", "tunebench", "list", "--plugin", "slow.py"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == "importing\n"
    process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert err.startswith(f"tunebench: {word}")
    assert err.count("\n") == 1


def test_outside_an_import_a_signal_is_raised():
    """So that workers end and files are complete."""
    with pytest.raises(Interrupted):
        end(signal.SIGINT, sys._getframe())


def test_long_exceptions_keep_head_and_tail():
    """What it is stands at the head, what it is about often at the tail; the frame says where."""
    try:
        raise ValueError("HEAD" + "\nnoise" * 9_000 + "\nTAIL")
    except ValueError as exc:
        long, short = last_lines(exc), said(exc)
    assert "ValueError: HEAD" in long
    assert long.endswith("TAIL")
    assert "test_console.py" in long
    assert len(long) <= 2000
    assert short.startswith("ValueError: HEAD noise")
    assert short.endswith("noise TAIL")
    assert len(short) == 300


def test_the_collector_rests_while_modules_are_loaded():
    """It is on again afterwards, also when it fails inside, and stays off for whoever had it off."""
    assert gc.isenabled()
    with loading():
        found = gc.isenabled()
    assert not found
    with pytest.raises(ZeroDivisionError), loading():
        _ = 1 / 0
    assert gc.isenabled()
    gc.disable()
    with loading():
        pass
    found = gc.isenabled()
    gc.enable()
    assert not found
