"""What all tests share: a cache of their own, one torch thread, one real run, the command line in this process."""

from __future__ import annotations

import contextlib
import io
import os
import signal
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from browser import browser as browser
from browser import visit as visit
from user import home as home

from tunebench.cli import main

RUN = (
    "run", "-d", "digits", "-m", "model1", "--seeds", "2", "--trials", "3", "--budget", "1.0", "-q",
    "-t", "original", "-t", "logit-bias", "-t", "smvt-sj", "-t", "random-synapses", "-t", "cw-p",
)  # fmt: skip
"""The command behind `digits_run`, without -j and -o."""


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def run_command(*args: object) -> Outcome:
    """Run ``tunebench ARGS`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    return Outcome(int(ended.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """A cache for this session alone: tests never see or touch the user's; returns its folder."""
    root = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root))
        patch.delenv("TUNEBENCH_DISABLED_PLUGINS", raising=False)
        yield root / "tunebench"


@pytest.fixture(scope="session", autouse=True)
def _interruptible():
    """Ctrl-C reaches what tests start, also where a shell has put them into the background and ignores it for them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _one_thread():
    """As in the product: figures must not depend on the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tunebench():
    """``tunebench(*args)`` runs a command in this process and returns its exit code, stdout and stderr."""
    return run_command


@pytest.fixture(scope="session")
def digits_command() -> tuple[str, ...]:
    """The command behind `digits_run`, without -j and -o."""
    return RUN


@pytest.fixture(scope="session")
def digits_run(own_cache, tmp_path_factory) -> Path:
    """The folder of one real run: digits, model1, 2 seeds, 3 trials, five tuners; read it, never write into it."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    done = run_command(*RUN, "-j", "2", "-o", out)
    assert done.code == 0, done.err
    return out


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The folder that holds the real MNIST, from TUNEBENCH_DATA; the test is skipped where there is none."""
    root = os.environ.get("TUNEBENCH_DATA")
    if not root:
        pytest.skip("needs the real MNIST: set TUNEBENCH_DATA to a folder with MNIST/raw")
    if not (Path(root) / "MNIST" / "raw").is_dir():
        pytest.skip(f"needs the real MNIST: TUNEBENCH_DATA={root} has no MNIST/raw")
    return Path(root)
