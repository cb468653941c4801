"""Files of strangers that `tune` and `certify` are given: refused in one line, at once, and nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import pytest
import torch
from conftest import run_command
from safetensors.torch import load_file, save_file

from tunebench import UsageError
from tunebench.own.door import require_regular
from tunebench.own.network import read_weights


class Code:
    """Writes a file where it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def with_header(path, header, body=bytes(64)):
    """A safetensors file of any header."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def entry(shape, end=64):
    """A header of one tensor."""
    return {"c1.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}


def saved(change):
    """What writes the network's state dict after ``change(state)``."""
    return lambda path, state: torch.save(change(state), path)


def squeezed(path, state):
    """The same numbers in a zip archive whose members are compressed, a gigabyte of zeros among them."""
    torch.save(state, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def cut_short(path, state, save=torch.save):
    """Half of a sound file."""
    save(state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def long_key(state):
    """Another key, of 100,000 letters."""
    return state | {"x" * 100_000: torch.zeros(1)}


BIG = torch.zeros(1).expand(2**40)
WEIGHTS = {
    "half a safetensors": ("w.safetensors", lambda p, s: cut_short(p, s, save_file), "save it again"),
    "an empty safetensors": ("w.safetensors", lambda p, s: p.touch(), "save it again"),
    "a header of 2**62 bytes": ("w.safetensors", lambda p, s: p.write_bytes(struct.pack("<Q", 2**62)), "save it again"),
    "a header that ends nowhere": ("w.safetensors", lambda p, s: with_header(p, entry([4, 4], 10**9)), "save it again"),
    "a shape beyond its bytes": ("w.safetensors", lambda p, s: with_header(p, entry([2**40])), "save it again"),
    "a header that is no JSON": (
        "w.safetensors",
        lambda p, s: p.write_bytes(b"\x04" + bytes(7) + b"{{{{"),
        "save it again",
    ),
    "a type that nobody knows": (
        "w.safetensors",
        lambda p, s: with_header(p, {"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}),
        "save it again",
    ),
    "a safetensors without numbers": ("w.safetensors", lambda p, s: with_header(p, {}, b""), "hold no state dict"),
    "a pickle in a safetensors": ("w.safetensors", saved(lambda s: s), "save it again"),
    "code in a pickle": ("w.pt", lambda p, s: p.write_bytes(pickle.dumps(Code(p.parent / "ran"))), "not the model"),
    "code beside numbers": ("w.pt", lambda p, s: torch.save(s | {"x": Code(p.parent / "ran")}, p), "not the model"),
    "code in an old pickle": (
        "w.pth",
        lambda p, s: torch.save(Code(p.parent / "ran"), p, _use_new_zipfile_serialization=False),
        "not the model",
    ),
    "half a zip": ("w.pt", cut_short, "not the model"),
    "an empty file": ("w.pt", lambda p, s: p.touch(), "not the model"),
    "a text": ("w.pt", lambda p, s: p.write_text("<html>404 Not Found</html>" * 9), "not the model"),
    "a zip of something": ("w.pt", lambda p, s: zipfile.ZipFile(p, "w").writestr("a", "b"), "not the model"),
    "a zip that unpacks": ("w.pt", squeezed, "are compressed"),
    "nesting without end": ("w.pt", lambda p, s: p.write_bytes(b"\x80\x02" + b"(" * 10**6), "not the model"),
    "a list": ("w.pt", saved(lambda s: list(s.values())), "hold no state dict"),
    "nothing in it": ("w.pt", saved(lambda s: {}), "hold no state dict"),
    "numbers as keys": ("w.pt", saved(lambda s: dict(enumerate(s.values()))), "no array of numbers"),
    "a text as a value": ("w.pt", saved(lambda s: s | {"c1.weight": "x"}), "'c1.weight', which is no array of numbers"),
    "one number said to be 2**40": ("w.pt", saved(lambda s: s | {"c1.weight": BIG}), "'c1.weight', which is no array"),
    "2**40 outputs, last": ("w.pt", saved(lambda s: {"only": BIG}), "'only', which is no array of numbers"),
    "a sparse tensor": ("w.pt", saved(lambda s: s | {"f2.bias": s["f2.bias"].to_sparse()}), "'f2.bias', which is no"),
    "a complex tensor": ("w.pt", saved(lambda s: s | {"f2.bias": s["f2.bias"] * 1j}), "'f2.bias', which is no array"),
    "a tensor of no numbers": (
        "w.pt",
        saved(lambda s: s | {"f2.bias": torch.zeros(10, device="meta")}),
        "'f2.bias', which is no array of numbers",
    ),
    "other keys": ("w.pt", saved(lambda s: {f"net.{key}": value for key, value in s.items()}), "it lacks c1.weight"),
    "a key with controls": (
        "w.pt",
        saved(lambda s: s | {"\x1b[2J\u202e": torch.zeros(1)}),
        "\\x1b[2J\\u202e is not in",
    ),
    "a key of 100,000 letters": ("w.pt", saved(long_key), "is not in the network"),
    "another shape": ("w.pt", saved(lambda s: s | {"f2.bias": torch.zeros(11)}), "is (11,), in the network (10,)"),
    "a number alone": ("w.pt", saved(lambda s: s | {"f2.bias": torch.tensor(1.0)}), "is (), in the network (10,)"),
    "NaN": ("w.pt", saved(lambda s: s | {"f1.bias": torch.full((32,), torch.nan)}), "NaN or infinite logits"),
    "infinity": ("w.safetensors", lambda p, s: save_file(s | {"f2.bias": torch.full((10,), torch.inf)}, p), "infinite"),
    "a folder": ("w.pt", lambda p, s: p.mkdir(), "w.pt"),
    "a pipe": ("w.pt", lambda p, s: os.mkfifo(p), "no regular file"),
    "a pipe of safetensors": ("w.safetensors", lambda p, s: os.mkfifo(p), "no regular file"),
    "a device": ("w.pt", lambda p, s: p.symlink_to("/dev/zero"), "no regular file"),
    "a link to itself": ("w.pt", lambda p, s: p.symlink_to(p), "symbolic links"),
}
"""Name of a file, what writes it at a path from the sound state dict, and what the error says."""


def refused(done, tmp_path, told):
    """Exit code 2, one line of a bearable length that says what is wrong; nothing run, nothing written."""
    assert done.code == 2, (done.out, done.err)
    assert told in done.err
    assert done.err.count("\n") == 1
    assert len(done.err) < 1500
    assert done.err.removesuffix("\n").isprintable()
    assert "certified" not in done.out
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_of_a_stranger(home, tmp_path, case):
    """`tune --weights` and `certify` refuse them alike, with and without known classes."""
    name, write, told = WEIGHTS[case]
    path = tmp_path / name
    write(path, home.model.state_dict())
    refused(run_command(*home.arguments("--weights", path, "-o", tmp_path / "out")), tmp_path, told)
    start = (
        "certify",
        "--model",
        f"{home.folder / 'net.py'}:Net",
        "--original",
        home.folder / "net.pt",
        "--tuned",
        path,
    )
    refused(run_command(*start, "--data", home.folder / "digits" / "val", "--budget", "2"), tmp_path, told)
    unlabelled = ("--unlabelled", home.folder / "digits" / "val", "--ask", tmp_path / "out", "--budget", "2")
    done = run_command(*start, *unlabelled)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def test_the_files_that_the_others_are_made_of_are_read(home, tmp_path):
    """The same doors let a sound file through, in either format."""
    state = home.model.state_dict()
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pt")
    for found in (read_weights(tmp_path / "w.pt"), read_weights(tmp_path / "w.safetensors")):
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)
    with_header(tmp_path / "x.safetensors", entry([4, 4]))
    assert load_file(tmp_path / "x.safetensors")["c1.weight"].shape == (4, 4)


PROGRAMS = {
    "half a program": lambda p, model: cut_short(p, model, exported),
    "an empty program": lambda p, model: p.touch(),
    "a text": lambda p, model: p.write_text("<html>404 Not Found</html>" * 9),
    "a zip of something": lambda p, model: zipfile.ZipFile(p, "w").writestr("a", "b"),
    "a state dict": lambda p, model: torch.save(model.state_dict(), p),
    "a program for other inputs": lambda p, model: exported(torch.nn.Linear(3, 2), p, torch.zeros(2, 3)),
    "a program that gives two things": lambda p, model: exported(Two(), p),
    "a program without classes": lambda p, model: exported(torch.nn.Flatten(0), p),
    "a program of NaN": lambda p, model: exported(torch.nn.Sequential(torch.nn.Flatten(), Nan()), p),
    "a folder": lambda p, model: p.mkdir(),
    "a pipe": lambda p, model: os.mkfifo(p),
    "a device": lambda p, model: p.symlink_to("/dev/zero"),
}
"""What writes a .pt2 file at a path, from the sound network."""


class Two(torch.nn.Module):
    """Gives a pair."""

    def forward(self, x):
        """The input, twice."""
        return x.flatten(1), x


class Nan(torch.nn.Module):
    """Gives no numbers."""

    def forward(self, x):
        """NaN."""
        return x * torch.nan


def exported(model, path, x=None):
    """``model`` as a program for any number of inputs."""
    batch = ({0: torch.export.Dim("batch", min=1)},)
    x = torch.zeros(2, 1, 8, 8) if x is None else x
    torch.export.save(torch.export.export(model.eval(), (x,), dynamic_shapes=batch), path)


@pytest.mark.parametrize("case", PROGRAMS)
def test_programs_that_are_none(home, tmp_path, case):
    """What is no program for these samples is one line; what a program does is code, see SECURITY.md."""
    path = tmp_path / "net.pt2"
    PROGRAMS[case](path, home.model)
    start = ("certify", "--original", path, "--tuned", path, "--data", home.folder / "digits" / "val", "--budget", "2")
    refused(run_command(*start), tmp_path, str(path))


def test_a_name_too_long_for_a_file_is_one_line(tmp_path):
    """As is one that the system does not take at all."""
    for name in ("x" * 300 + ".pt", "a\0.pt"):
        with pytest.raises(UsageError, match="weights"):
            require_regular(tmp_path / name, "weights")


def test_what_could_run_code_runs_where_it_is_not_refused(tmp_path):
    """The pickles above are real: a reader that trusts them writes the file."""
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    load = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    subprocess.run([sys.executable, "-c", load, tmp_path / "w.pkl"], check=True)
    assert (tmp_path / "ran").exists()
