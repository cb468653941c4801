"""A plugin file (``--plugin``) whose tuners do everything that a tuner should not, among good ones."""
# ruff: noqa: D102, D103  (the names say what they do)

import copy
import os
import random
import resource
import signal
import sys
import threading
import time

import numpy as np
import torch
from optuna.distributions import CategoricalDistribution

from tunebench import LogitEdit, Tuner, hookimpl


def nothing(task):
    return LogitEdit.of_target(task)


def raises(task):
    raise ValueError("no luck")


def raises_odd_text(task):
    raise ValueError("\x1b[31m\udc80 red" + "x" * 100_000)


def raises_interrupt(task):
    raise KeyboardInterrupt


def recurses(task):
    return recurses(task)


def wrong_type(task):
    return "a tuned network"


def wrong_shape(task):
    return LogitEdit(torch.zeros(3, 3), torch.zeros(3))


def not_a_number(task):
    return LogitEdit.of_target(task, bias=float("nan"))


def changes_the_model(task):
    with torch.no_grad():
        next(task.model.parameters()).add_(1)
    return copy.deepcopy(task.model)


def changes_the_data(task):
    task.y_train.fill_(task.target)
    return nothing(task)


def changes_globals(task):
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    torch.set_num_threads(8)
    os.environ["OMP_NUM_THREADS"] = "8"
    os.chdir("/")
    return nothing(task)


def prints_megabytes(task):
    for _ in range(20):
        print("noise " * 200_000)
        os.write(2, b"noise " * 200_000)
    return nothing(task)


def leaves_a_thread(task):
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return nothing(task)


def fills_lists(task):
    hoard = []
    while True:
        hoard.append(bytearray(2**20))


def fills_tensors(task):
    hoard = []
    while True:
        hoard.append(torch.ones(2**22))


def exits(task):
    sys.exit(0)


def exits_at_once(task):
    os._exit(0)


def exits_with_code(task):
    os._exit(3)


def segfaults(task):
    os.kill(os.getpid(), signal.SIGSEGV)


def aborts(task):
    os.abort()


def is_killed(task):
    os.kill(os.getpid(), signal.SIGKILL)


def closes_every_file(task):
    os.closerange(3, 256)
    return nothing(task)


def never_returns(task):
    while True:
        time.sleep(1)


def never_returns_nor_listens(task):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass


def lifts_its_limit(task):
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)
    return nothing(task)


EXPECTED = {
    nothing: ("ok", None),
    raises: ("error", "ValueError: no luck"),
    raises_odd_text: ("error", "xxx"),
    raises_interrupt: ("error", "KeyboardInterrupt"),
    recurses: ("error", "RecursionError"),
    wrong_type: ("invalid", "returned str"),
    wrong_shape: ("invalid", "shape"),
    not_a_number: ("invalid", "not finite"),
    changes_the_model: ("invalid", "changed"),
    changes_the_data: ("invalid", "changed"),
    changes_globals: ("ok", None),
    prints_megabytes: ("ok", None),
    leaves_a_thread: ("ok", None),
    lifts_its_limit: ("ok", None),
    fills_lists: ("out-of-memory", "MemoryError"),
    fills_tensors: ("out-of-memory", "allocate memory"),
    exits: ("error", "SystemExit"),
    exits_at_once: ("crashed", "exit code 0"),
    exits_with_code: ("crashed", "exit code 3"),
    segfaults: ("crashed", "SIGSEGV"),
    aborts: ("crashed", "SIGABRT"),
    is_killed: ("crashed", "SIGKILL"),
    closes_every_file: ("crashed", "exit code"),
    never_returns: ("timeout", "no result after"),
    never_returns_nor_listens: ("timeout", "no result after"),
}
"""What every tuner does, the status that it has to get, and part of the reason."""


class Misbehaving(Tuner):
    """Does one thing in `tune`."""

    def __init__(self, deed):
        self.name = deed.__name__.replace("_", "-")
        self.deed = deed

    def tune(self, task, params, prepared):
        return self.deed(task)


class RaisesInPrepare(Tuner):
    name = "raises-in-prepare"

    def prepare(self, task):
        raise OSError("nothing prepared")


class RaisesInSkip(Tuner):
    name = "raises-in-skip"

    def skip(self, task):
        raise LookupError("skip what?")


class WrongSpace(Tuner):
    name = "wrong-space"

    def search_space(self):
        return {"weight": "any"}


class UnstorableParameter(Tuner):
    name = "unstorable-parameter"

    def search_space(self):
        return {"pair": CategoricalDistribution([(1, 2), (3, 4)])}

    def tune(self, task, params, prepared):
        return nothing(task)


OTHERS = {
    RaisesInPrepare: ("error", "nothing prepared"),
    RaisesInSkip: ("error", "skip what?"),
    WrongSpace: ("error", "Error"),
    UnstorableParameter: ("invalid", "cannot be stored"),
}


@hookimpl
def tunebench_tuners():
    return [Misbehaving(deed) for deed in EXPECTED] + [tuner() for tuner in OTHERS]
