"""The store: files complete or not at all, and nothing believed that a file says."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import resource
import shutil
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunebench import StoreError
from tunebench.boards import leaderboard
from tunebench.results.shapes import Damaged
from tunebench.results.store import SCHEMA, Store

SHAPELESS = {"provenance", "options", "inputs", "reason"}
"""Parts of a record that no figure depends on, or that are compared with the run's as a whole."""
ALWAYS_WRONG = ("@1e999@", "@-1e999@", "@NaN@", 10**400, 10**30, "\x1b[2J", "\u202egpj.exe", "\ud800")
"""Values that no field may have; those between @ become bare words."""
many = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def wrapped(content):
    """The bytes of a file whose checksum is right, whatever it holds."""
    body = json.dumps(content, sort_keys=True)
    digest = hashlib.sha256(body.encode()).hexdigest()
    text = f'{{"schema": {SCHEMA}, "checksum": "{digest}", "content": {body}}}'
    for word in ("1e999", "-1e999", "NaN"):
        text = text.replace(f'"@{word}@"', word)
    return text.encode()


def places(value, path=()):
    """Path and value of everything inside a JSON value."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if not path and key in SHAPELESS:
            continue
        yield (*path, key), item
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def replaced(content, path, value):
    """A copy of ``content`` with another value at ``path``."""
    changed = copy.deepcopy(content)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def other_type(value):
    """A value that cannot stand where ``value`` stands."""
    return {} if isinstance(value, list) else []


@pytest.fixture(scope="module")
def sample(digits_run, tmp_path_factory):
    """A store with one cell of a real run; the store, the cell, the content of its file."""
    out = tmp_path_factory.mktemp("store") / "out"
    source = Store(digits_run)
    cell = next(cell for cell, _ in source.cells() if cell.tuner == "cw-p")
    store = Store(out)
    store.put("cells", cell, source.get("cells", cell))
    store.write_lock(source.lock())
    return store, cell, store.get("cells", cell)


def refused(sample, raw):
    """Whether the reader refuses ``raw`` as the cell's file, or finds what was there before."""
    store, cell, content = sample
    store.path("cells", cell).write_bytes(raw)
    try:
        return store.get("cells", cell) == content
    except Damaged:
        return True


@settings(many, max_examples=300)
@given(data=st.data())
def test_flipped_bits_are_noticed(sample, data):
    """No single flipped bit changes what is read: the file is refused."""
    raw = bytearray(wrapped(sample[2]))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    assert refused(sample, bytes(raw))


@settings(many, max_examples=150)
@given(data=st.data())
def test_truncated_files_are_noticed(sample, data):
    """A file that ends early, or goes on with something else, is refused."""
    raw = wrapped(sample[2])
    cut = data.draw(st.integers(0, len(raw) - 1))
    assert refused(sample, raw[:cut] + data.draw(st.binary(max_size=20)))


@settings(many, max_examples=400)
@given(data=st.data())
def test_wrong_values_are_noticed_behind_a_right_checksum(sample, data):
    """A wrong type, a number beyond reason or a control character anywhere is refused, whoever signed it."""
    store, cell, content = sample
    path, old = data.draw(st.sampled_from(list(places(content))))
    wrong = data.draw(st.sampled_from([*ALWAYS_WRONG, other_type(old)]))
    changed = replaced(content, path, wrong)
    try:
        raw = wrapped(changed)
    except UnicodeEncodeError:  # half a character: written as an escape it could be in a file
        raw = wrapped(content).replace(b'"cw-p"', b'"\\ud800"')
    store.path("cells", cell).write_bytes(raw)
    with pytest.raises(Damaged):
        store.get("cells", cell)


@settings(many, max_examples=150)
@given(data=st.data())
def test_figures_have_to_follow_from_the_predictions(sample, data):
    """A better accuracy than the file's own predictions give is refused, however plausible it is."""
    _, _, content = sample
    metrics = [
        (path, value)
        for path, value in places(content)
        if len(path) > 1 and path[-2] in ("test", "original") and isinstance(value, int | float)
    ]
    path, old = data.draw(st.sampled_from(metrics))
    better = old + 1 if isinstance(old, int) else data.draw(st.floats(0, 1).filter(lambda x: abs(x - old) > 1e-6))
    assert refused(sample, wrapped(replaced(content, path, better)))


def bomb(size):
    """Packed predictions that unpack to ``size`` zeros."""
    decoder = zlib.compressobj(9)
    packed = b"".join(decoder.compress(bytes(2**20)) for _ in range(2 * size // 2**20)) + decoder.flush()
    return base64.b85encode(packed).decode()


def test_a_compressed_bomb_does_not_go_off(sample):
    """Predictions that unpack to gigabytes are refused without unpacking them."""
    store, cell, content = sample
    store.path("cells", cell).write_bytes(wrapped({**content, "labels": bomb(2**26)}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Damaged, match="more than 2,000,000"):
        store.get("cells", cell)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


NO_FILES = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a loop of links": lambda path: path.symlink_to(path),
    "an empty file": lambda path: path.touch(),
    "a terabyte": lambda path: (path.touch(), os.truncate(path, 2**40)),
    "a million brackets": lambda path: path.write_text("[" * 10**6),
    "another schema": lambda path: path.write_text('{"schema": 1, "checksum": "", "content": {}}'),
}


@pytest.mark.parametrize("case", NO_FILES)
def test_files_that_are_no_files(sample, case):
    """What stands in a cell's place and is no record is refused at once."""
    store, cell, _ = sample
    path = store.path("cells", cell)
    path.unlink(missing_ok=True)
    NO_FILES[case](path)
    with pytest.raises(Damaged):
        store.get("cells", cell)
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_names_cannot_leave_the_folder(sample, tmp_path):
    """Odd file names are no cells, and no cell's file lies outside OUT, whatever the names are."""
    store, cell, content = sample
    raw = wrapped(content)
    odd = [
        "%2e%2e/a/1/t/0.json",
        "a/b/1/t/\u00b2.json",
        "a/b/1/t/01.json",
        "a/b/1/t/-1.json",
        "a/b/1/%2F/0.json",
        "a/b/c/t/0.json",
    ]
    for name in odd:
        path = store.out / "cells" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    seen = list(store.cells())
    assert all(path.resolve().is_relative_to(store.out.resolve()) for _, path in seen)
    for found, _ in seen:
        with pytest.raises(Damaged):
            store.get("cells", found)
    assert leaderboard.build(store.out).rows[0]["seeds"] == 0
    outside = tmp_path / "outside"
    outside.mkdir()
    linked = Store(tmp_path / "linked")
    (linked.out / "cells").mkdir(parents=True)
    (linked.out / "cells" / "digits").symlink_to(outside)
    with pytest.raises(StoreError, match="leaves"):
        linked.put("cells", cell, content)
    assert not list(outside.iterdir())


def test_a_leaderboard_counts_none_of_them(digits_run, tmp_path):
    """A leaderboard over damaged files names every one of them, counts none and does not fail."""
    out = tmp_path / "out"
    shutil.copytree(digits_run, out)
    paths = sorted(out.glob("cells/**/*.json"))
    for number, path in enumerate(paths):
        raw = path.read_bytes()
        path.write_bytes(raw[: len(raw) // (number + 2)])
    board = leaderboard.build(out)
    assert {row["seeds"] for row in board.rows} == {0}
    assert sum("is not counted" in note for note in board.notes) == len(paths)


STRANGE_LOCKS = [
    (("suite", "seeds"), 10**18),
    (("suite", "budget"), "1.0"),
    (("tuners",), ["../../x"]),
    (("targets",), {"digits": ["1"]}),
    (("targets", "digits/model1"), ["one"]),
    (("suite", "name"), "\x1b[2J"),
    (("inputs",), {}),
]


@pytest.mark.parametrize(("path", "value"), STRANGE_LOCKS)
def test_a_strange_lock_file_is_an_error_of_one_line(sample, path, value):
    """A forged suite.lock.json ends in one line, not in an endless loop or a traceback."""
    store = sample[0]
    lock = store.lock()
    try:
        store.lock_path.write_bytes(wrapped(replaced(lock, path, value)))
        with pytest.raises(StoreError, match="delete it or choose another -o OUT"):
            leaderboard.build(store.out)
    finally:
        store.write_lock(lock)
