"""Compressed networks by name: refused at the door, keyed, trained, cached and compared like any other."""

import json

import pytest
import undecided

from tunebench import Compression, UsageError, hookimpl
from tunebench.networks.architecture import architecture_of, parent_of
from tunebench.networks.compressed import network_of
from tunebench.plugins import PluginFile, load_registry
from tunebench.results.store import Store


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mlp:8+prun:0.9", "unknown compression 'prun'; did you mean prune"),
        ("mlp:8+prune:1.0", "compression prune:1.0: give a share above 0 and below 1"),
        ("mlp:8+prune:0", "give a share above 0"),
        ("mlp:8+prune:nan", "give a share above 0"),
        ("mlp:8+prune:much", "compression prune:much: give a share above 0"),
        ("mlp:8+prune:", "give a share above 0"),
        ("mlp:8+binary:2", "compression 'binary' takes no value; write"),
        ("mpl:8+prune", "unknown model 'mpl:8'"),
        ("mlp:8+prune+lowrnk", "did you mean lowrank"),
        ("mlp:8+", "write the hidden widths"),
    ],
)
def test_bad_names_end_a_run_before_it_starts(tunebench, tmp_path, name, said):
    """Exit code 2 and one line, for the last part of a name and for those before; nothing is written."""
    done = tunebench("run", "-d", "digits", "-m", name, "-t", "original", "-o", tmp_path / "run")
    assert done.code == 2
    assert said in done.err
    assert done.err.strip().count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_a_plus_in_a_path_is_no_compression(tmp_path):
    """The name of a file or of a folder may hold one."""
    folder = tmp_path / "c++"
    folder.mkdir()
    (folder / "net+work.py").write_text("from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n")
    registry = load_registry()
    assert network_of(f"{folder}/net+work.py:net", registry).made is None
    assert network_of(f"{folder}/net+work.py:net+prune:0.5", registry).made.parent.made is None


def test_keys_tell_everything_apart():
    """Name, value and order of compressions count, a default is what it stands for, and a key leads to the parent's."""
    registry = load_registry()

    def said(name):
        spec = network_of(name, registry)
        return architecture_of(spec, spec.build((64,), 10))

    assert said("mlp:8+prune") == said("mlp:8+prune:0.9")
    names = ("mlp:8", "mlp:8+prune", "mlp:8+prune:0.8", "mlp:8+binary", "mlp:8+lowrank+prune", "mlp:8+prune+lowrank")
    assert len({said(name) for name in names}) == len(names)
    assert parent_of(said("mlp:8+lowrank+prune")) == said("mlp:8+lowrank")
    assert parent_of(said("mlp:8+lowrank")) == said("mlp:8")


RUN = ("run", "-d", "digits", "-m", "mlp:23+lowrank:0.5+prune:0.5", "-m", "mlp:23+prune:0.5",
       "-t", "original", "-t", "weighted-finetune", "--trials", "2", "--seeds", "1", "-q", "--no-latency")  # fmt: skip


def test_a_run_makes_and_keeps_them(tunebench, tmp_path, own_cache):
    """A chain of compressions is made once, reused by the next run, and made anew where its file is damaged."""
    out = tmp_path / "run"
    assert tunebench(*RUN, "-o", out).code == 0
    store = Store(out)
    cells = [store.get("cells", cell) for cell, _ in store.cells()]
    assert [cell["status"] for cell in cells] == ["ok"] * 4
    for cell in cells:
        params, dense = cell["points"]["plain"]["0.2"]["cost"]["params"], 64 * 23 + 23 + 230 + 10
        assert params < 0.7 * dense
    folders = {p.parent: json.loads(p.read_text()) for p in (own_cache / "originals").glob("*/original.json")}
    mine = {folder: record for folder, record in folders.items() if record["key"]["model"].startswith("mlp:23")}
    assert len(mine) == 4
    (chained,) = (f for f, record in mine.items() if record["key"]["model"] == "mlp:23+lowrank:0.5+prune:0.5")
    assert len(mine[chained]["lineage"]) == 1
    (chained / "model.safetensors").write_bytes(b"no")
    seen = tunebench(*RUN, "--explain-cache", "-o", out)
    assert seen.out.count("reused") == 4
    assert (chained / "model.safetensors").stat().st_size > 1000


def test_a_run_skips_what_a_compression_cannot_take_and_tells_of_a_large_student(tunebench, tmp_path):
    """Every cell of the one network is skipped with the quantiser's reason; those of the other are there."""
    models = ("-m", f"{undecided.__file__}:Undecided+int8", "-m", "mlp:8+distill:mlp:16")
    flags = ("-t", "original", "-t", "weighted-finetune", "--trials", "2", "--seeds", "1", "-q", "--no-latency")
    done = tunebench("run", "-d", "digits", *models, *flags, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "the student has 1,210 parameters, its teacher 610" in done.err
    store = Store(tmp_path / "out")
    cells = [(cell.model, store.get("cells", cell)) for cell, _ in store.cells()]
    for model, record in cells:
        assert record["status"] == ("skipped" if model.endswith("int8") else "ok")
        assert not model.endswith("int8") or "cannot take the network in 8-bit integers: " in record["reason"]
    assert len(cells) == 4


NETWORKS = """
import torch
from torch import nn


class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 10))


class Scaled(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        self.register_buffer("scale", torch.ones(1), persistent=False)
"""


@pytest.mark.parametrize("network", ["Normed", "Scaled"])
def test_what_could_not_be_loaded_is_not_made(tunebench, tmp_path, network):
    """A width that no weight shows, a buffer that no file keeps: its cell is skipped, no error and not left undone."""
    (tmp_path / "net.py").write_text(NETWORKS)
    model, out = f"{tmp_path}/net.py:{network}+channels", tmp_path / "out"
    flags = ("-t", "original", "--seeds", "1", "-q", "--no-latency", "--recipe", "quick")
    done = tunebench("run", "-d", "digits", "-m", model, *flags, "-o", out)
    assert done.code == 0, done.err
    ((cell, _),) = Store(out).cells()
    record = Store(out).get("cells", cell)
    assert record["status"] == "skipped"
    assert "cannot be built again from its weights" in record["reason"]


class Halved(Compression):
    """Halves every weight; not in a package."""

    name = "halved"


def test_a_plugin_offers_compressions(tmp_path):
    """A file with the hook offers one under its name; what is none is reported and the rest stays."""
    path = tmp_path / "halved.py"
    path.write_text(
        "from tunebench import Compression, hookimpl\n"
        "class Half(Compression):\n"
        '    """Halves."""\n'
        '    name = "half"\n'
        '    default = "2"\n'
        "    def read(self, text):\n"
        "        return int(text)\n"
        "    def compress(self, task, value):\n"
        "        return task.model\n"
        "@hookimpl\n"
        "def tunebench_compressions():\n"
        '    return [Half(), "sj"]\n'
    )
    registry = load_registry([PluginFile.read(path)])
    spec = network_of("mlp:8+half:4", registry)
    assert (spec.made.value, spec.owners) == (4, (str(path),))
    assert "returned str, not a Compression" in registry.problems[str(path)]
    with pytest.raises(UsageError, match=r"compression half:x: invalid literal .*; the default is \+half:2"):
        network_of("mlp:8+half:x", registry)


def test_two_of_one_name(monkeypatch):
    """The second is reported, by the name of the first one's plugin."""
    import types

    registry = load_registry()
    again = types.ModuleType("again")
    again.tunebench_compressions = hookimpl(lambda: [Halved(), Halved()])
    registry.manager.register(again, "again")
    assert registry.compressions["halved"][0] == "again"
    assert registry.problems["again"] == "compression 'halved' is defined by 'again' already"


def test_the_list(tunebench):
    """Every compression with its default value and a sentence."""
    done = tunebench("list", "compressions")
    assert done.code == 0
    assert "prune:0.9" in done.out
    assert set(json.loads(tunebench("list", "compressions", "--json").out)["compressions"]) >= {"prune:0.9", "binary"}
