"""Nothing that a tuner receives leads to the test split, and the split is not even read before selection is final."""

import functools
import gc
import types
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from tunebench.datasets import Place, open_dataset
from tunebench.grid import evaluation
from tunebench.grid.plan import RunOptions, make_jobs, make_plan
from tunebench.grid.suite import Suite
from tunebench.networks import originals
from tunebench.networks.activations import activations
from tunebench.plugins import PluginFile

SEEN = []
"""What the recording tuner was given, in order."""
RECORDER = b"""
from optuna.distributions import FloatDistribution
from test_no_leak import SEEN
from tunebench import LogitEdit, Tuner


class Recorder(Tuner):
    name = "recorder"

    def search_space(self):
        return {"bias": FloatDistribution(0.0, 1.0)}

    def skip(self, task):
        SEEN.append(task)

    def prepare(self, task):
        SEEN.append(task)
        return {"table": task.hidden_train * 2}

    def tune(self, task, params, prepared):
        SEEN.append((self, task, params, prepared))
        return LogitEdit.of_target(task, bias=params["bias"])
"""
STOP = (types.ModuleType, type, types.CodeType, types.FrameType, types.BuiltinFunctionType)
"""What leads to the whole interpreter, and so to nothing that the host handed over."""


def children(item):
    """What one object leads to: attributes, contents, closures, defaults, generators, hooks, weak references."""
    if isinstance(item, types.FunctionType):
        cells = [cell.cell_contents for cell in item.__closure__ or ()]
        return [*cells, item.__defaults__, item.__kwdefaults__, item.__dict__]
    if isinstance(item, types.GeneratorType):
        return list(item.gi_frame.f_locals.values()) if item.gi_frame else []
    if isinstance(item, weakref.ref):
        return [item()]
    more = [item.grad, item._base] if isinstance(item, torch.Tensor) else []
    return more + gc.get_referents(item)


def reachable(root):
    """Every object that ``root`` leads to."""
    found, stack = {}, [root]
    while stack:
        item = stack.pop()
        if id(item) in found or isinstance(item, STOP):
            continue
        found[id(item)] = item
        stack += children(item)
    return list(found.values())


def memory_of(root):
    """Every block of memory behind the tensors, arrays and byte strings that ``root`` leads to: whole storages."""
    blocks = {}
    for item in reachable(root):
        if isinstance(item, torch.Tensor):
            storage = item.untyped_storage()
            view = torch.empty(0, dtype=torch.uint8).set_(storage)
            blocks[storage.data_ptr()] = view.numpy().tobytes()
        elif isinstance(item, np.ndarray):
            blocks[id(item)] = item.tobytes()
        elif isinstance(item, bytes | bytearray):
            blocks[id(item)] = bytes(item)
    return list(blocks.values())


def rows_in(blocks, rows):
    """How many of the byte strings ``rows`` occur anywhere in ``blocks``."""
    return sum(any(row in block for block in blocks) for row in rows)


def secrets_of(model):
    """Byte strings of the test split: every input that train does not hold too, its activations, all labels."""
    dataset = open_dataset("digits", Place(None))
    train, test = dataset.train(), dataset.test()
    known = {row.numpy().tobytes() for row in train.x}
    new = [i for i, row in enumerate(test.x) if row.numpy().tobytes() not in known]
    assert len(new) > 500
    seen = activations(model, test.x)
    labels = [test.y.to(kind).numpy().tobytes() for kind in (torch.int64, torch.int32, torch.int16, torch.uint8)]
    return {
        "inputs": [test.x[i].numpy().tobytes() for i in new],
        "hidden units": [seen.hidden[i].numpy().tobytes() for i in new],
        "logits": [seen.logits[i].numpy().tobytes() for i in new],
        "labels": labels,
    }


@pytest.fixture(scope="module")
def job(digits_run, tmp_path_factory):
    """One cell of the recording tuner, ready to compute in this process."""
    suite = Suite(models=("model1",), tuners=("recorder",), seeds=1, trials=4, recipe="quick", targets=("8",))
    options = RunOptions(tmp_path_factory.mktemp("out"), plugins=(PluginFile("recorder.py", RECORDER),))
    plan = make_plan(suite, options)
    for dataset in plan.datasets.values():
        originals.materialise(dataset)
    records = {key: originals.ensure_original(key, plan.models[key.model]) for key in plan.originals()}
    return next(iter(make_jobs(plan, records, options)))


@pytest.fixture
def received(job):
    """What the recording tuner was given in a whole cell, from skip to the last trial."""
    SEEN.clear()
    record = evaluation.run_cell(job)
    assert record["status"] == "ok", record["reason"]
    assert len(SEEN) == 2 + 3
    yield list(SEEN)
    SEEN.clear()


def test_nothing_leads_to_the_test_split(received):
    """No object reachable from what skip, prepare and tune got holds a test input, activation, logit or the labels."""
    blocks = memory_of(received)
    task = received[0]
    assert rows_in(blocks, [row.numpy().tobytes() for row in task.x_train[:20]]) == 20, "the walk sees nothing"
    found = {name: rows_in(blocks, rows) for name, rows in secrets_of(task.model).items()}
    assert found == dict.fromkeys(found, 0)


def holders():
    """Ways to hold on to a tensor, by name."""
    secret = torch.arange(64, dtype=torch.float32)
    hook = torch.nn.Linear(2, 2)
    hook.register_forward_hook(lambda *args: secret)
    wide = torch.cat([torch.zeros(64), secret])

    class Slots:
        __slots__ = ("inside",)

    slots = Slots()
    slots.inside = [secret]
    generator = (row for row in [secret])
    return {
        "closure": lambda: secret,
        "default": lambda x=secret: x,
        "partial": functools.partial(print, key=secret),
        "slots": slots,
        "hook": hook,
        "storage of a view": wide[:8],
        "array": secret.numpy(),
        "weak reference": weakref.ref(secret),
        "generator": generator,
        "gradient": with_gradient(secret),
        "buffer": torch.nn.BatchNorm1d(64),
    }, secret


def with_gradient(secret):
    """A parameter whose gradient is ``secret``."""
    parameter = torch.nn.Parameter(torch.zeros(64))
    parameter.grad = secret
    return parameter


@pytest.mark.parametrize("name", [name for name in holders()[0] if name != "buffer"])
def test_the_walk_finds_what_is_hidden(name):
    """The check above can fail: a tensor kept in any of the usual ways is found."""
    found, secret = holders()
    assert rows_in(memory_of(found[name]), [secret.numpy().tobytes()]) == 1
    assert rows_in(memory_of(found["buffer"]), [secret.numpy().tobytes()]) == 0


def test_the_test_split_is_read_after_selection(job, monkeypatch):
    """In a whole cell the test file is opened once the search has returned, and never before."""
    events = []
    load, search = originals.load_file, evaluation.search
    monkeypatch.setattr(originals, "load_file", lambda path: events.append(Path(path).stem) or load(path))

    def watched(*args, **options):
        result = search(*args, **options)
        events.append("selected")
        return result

    monkeypatch.setattr(evaluation, "search", watched)
    assert evaluation.run_cell(job)["status"] == "ok"
    assert events.count("test") == 1
    assert events.index("test") > events.index("selected") > events.index("train")


def test_the_splits_lie_in_files_of_their_own(job):
    """Train and test are materialised apart, so that mapping one never maps the other."""
    folder = originals.data_folder(job.original.data)
    assert sorted(path.name for path in folder.iterdir()) == ["test.safetensors", "train.safetensors"]
    train, test = (originals.load_split(job.original.data, split) for split in ("train", "test"))
    blocks = memory_of(train)
    assert rows_in(blocks, [train.x[0].numpy().tobytes()]) == 1
    known = {row.numpy().tobytes() for row in train.x}
    assert rows_in(blocks, [row.numpy().tobytes() for row in test.x if row.numpy().tobytes() not in known]) == 0
