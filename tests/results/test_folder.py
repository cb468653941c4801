"""The folder that results are written into: links in it, and the user's own files beside them."""

from __future__ import annotations

import os

import forgeries
import pytest
from conftest import run_command

from tunebench import StoreError
from tunebench.cache import cached_folder
from tunebench.results.folder import refuse_links
from tunebench.results.store import OURS, Store, write_text

GRID = ("run", "-d", "digits", "-m", "model1", "--target", "1", "--seeds", "1", "--trials", "2", "-t", "original", "-q")


def content(folder):
    """Every entry below ``folder``, links unfollowed, with what it holds."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def outside(tmp_path):
    """A folder of the user's with files that look like damaged ones of ours."""
    folder = tmp_path / "outside"
    for name in ("model1/1/original/0.json", "suite.lock.json", "0.json", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    return folder


LINKS = {
    "cells": ("cells", ""),
    "a data set": ("cells/digits", ""),
    "a network": ("cells/digits/model1", "model1"),
    "a cell": ("cells/digits/model1/1/original/0.json", "0.json"),
    "the lock": ("suite.lock.json", "suite.lock.json"),
    "times": ("times", ""),
    "a loop": ("cells/loop", None),
    "a board": ("leaderboard.csv", "notes.txt"),
    "a page that dangles": ("index.html", "nothing"),
    "another root": ("times/root", "/"),
}
"""Which part of OUT is a link, and where it leads below the user's folder; None: to itself."""


@pytest.mark.parametrize("command", ["run", "merge"])
@pytest.mark.parametrize("case", LINKS)
def test_a_link_in_out_is_refused_before_anything_is_renamed(tmp_path, outside, digits_run, case, command):
    """One line, and neither OUT nor what the link leads to is changed."""
    place, leads_to = LINKS[case]
    out = tmp_path / "out"
    (out / place).parent.mkdir(parents=True)
    (out / place).symlink_to(out / place if leads_to is None else outside / leads_to)
    before = content(tmp_path)
    done = run_command(*(GRID if command == "run" else (command, digits_run)), "-o", out)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"{out / place} is a link" in done.err
    assert content(tmp_path) == before


TUNE_LINKS = {
    "the candidates": ("candidates", ""),
    "a candidate": ("candidates/01-logit-bias", "model1"),
    "a candidate's network": ("candidates/01-logit-bias/tuned.pt2", "notes.txt"),
    "the report": ("report.json", "notes.txt"),
    "the network": ("tuned.safetensors", "nothing"),
    "the page": ("index.html", "notes.txt"),
    "a cell's folder": ("cells/own", ""),
}


@pytest.mark.parametrize("case", TUNE_LINKS)
def test_a_link_where_tune_writes_is_refused(tmp_path, outside, home, case):
    """Networks of earlier calls are removed from OUT/candidates: never from a folder that somebody put in its place."""
    place, leads_to = TUNE_LINKS[case]
    out = tmp_path / "out"
    (out / place).parent.mkdir(parents=True)
    (out / place).symlink_to(outside / leads_to)
    (out / "suite.toml").touch()
    before = content(tmp_path)
    done = run_command(*home.arguments("--candidates", "--tuner", "logit-bias", "-o", out))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"{out / place} is a link" in done.err
    assert content(tmp_path) == before


@pytest.mark.parametrize("flag", ["-o", "--ask"])
def test_a_file_is_not_written_over_a_folder(tmp_path, digits_run, home, flag):
    """Commands that write one file refuse a folder in its place, and leave what is in it."""
    (tmp_path / "page.html").write_text("mine")
    before = content(tmp_path)
    certify = ("certify", "--model", f"{home.folder / 'net.py'}:Net", "--original", home.folder / "net.pt",
               "--tuned", home.folder / "net.pt", "--unlabelled", home.folder / "digits" / "val")  # fmt: skip
    done = run_command(*(("leaderboard", digits_run, "--format", "html") if flag == "-o" else certify), flag, tmp_path)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert str(tmp_path) in done.err
    assert content(tmp_path) == before


def test_out_itself_may_be_a_link(tmp_path, digits_run):
    """A run folder on another disk, say."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    assert run_command("merge", digits_run, "-o", tmp_path / "out").code == 0
    assert (tmp_path / "disk" / "suite.lock.json").is_file()


def test_a_deep_folder_is_not_searched_to_its_end(tmp_path):
    """Deeper than any cell nothing is written, and a folder of folders costs no time."""
    deep = tmp_path.joinpath(*["cells"] * 40)
    deep.mkdir(parents=True)
    (deep / "link").symlink_to(tmp_path)
    refuse_links(tmp_path, OURS)
    (tmp_path / "cells" / "link").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="is a link"):
        refuse_links(tmp_path, OURS)


FOREIGN = {
    "a page": "index.html",
    "a table": "leaderboard.csv",
    "code": "setup.py",
    "cells of another kind": "cells/petri.json",
    "a deep file named like a cell": "cells/a/b/c/d/notes.json",
    "a folder": "src/main.c",
    "a name in capitals": "INDEX.HTML",
}


@pytest.mark.parametrize("command", ["run", "merge", "tune", "paper"])
@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_folder_is_refused(tmp_path, digits_run, request, case, command):
    """Nothing is written where somebody keeps other files."""
    out = tmp_path / "out"
    (out / FOREIGN[case]).parent.mkdir(parents=True)
    (out / FOREIGN[case]).write_text("mine")
    before = content(tmp_path)
    args = {
        "run": lambda: GRID,
        "merge": lambda: ("merge", digits_run),
        "tune": lambda: request.getfixturevalue("home").arguments("--export", "torch", "--candidates"),
        "paper": lambda: ("paper", "-d", "mnist", "--data-dir", request.getfixturevalue("mnist")),
    }[command]()
    done = run_command(*args, "-o", out)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "no results of ours" in done.err
    assert content(tmp_path) == before


def test_a_readme_is_foreign_to_the_paper(tmp_path, mnist):
    """Since it would be overwritten; beside a run it may lie, with the suite and with what is hidden."""
    (tmp_path / "README.md").write_text("mine")
    assert run_command("paper", "-d", "mnist", "--data-dir", mnist, "-o", tmp_path).code == 2
    for name in ("suite.toml", ".gitignore"):
        (tmp_path / name).write_text("mine")
    Store(tmp_path).examine()
    assert (tmp_path / "README.md").read_text() == "mine"


MINE = (".notes-1-draft.tmp", ".tunebench-host-1-short.tmp", "cells/.cache-77-x.tmp", "elsewhere/.host-1-abc.tmp")


def test_own_files_below_out_are_not_swept_away(tmp_path, digits_run):
    """Nor what only looks like a left-over, nor what lies in folders that are not ours."""
    store = forgeries.copied(digits_run, tmp_path / "out")
    host = os.uname().nodename
    ours_elsewhere = f"elsewhere/.tunebench-{host}-999999999-{'a' * 16}.tmp"
    for name in (*MINE, f".{host}-999999999-a.tmp", ours_elsewhere, "cells/notes.txt"):
        (store.out / name).parent.mkdir(exist_ok=True)
        (store.out / name).write_text("mine")
    before = content(store.out)
    store.examine()
    store.prepare()
    assert content(store.out) == before


def test_what_is_set_aside_replaces_nothing(tmp_path, digits_run):
    """A second damaged file gets a second name."""
    store = forgeries.copied(digits_run, tmp_path / "out")
    cell = forgeries.cells(store, "cw-p")[0]
    path = store.path("cells", cell)
    path.with_suffix(".damaged").write_text("mine")
    first = store.set_aside("cells", cell)
    path.write_text("again")
    second = store.set_aside("cells", cell)
    assert [first.name, second.name] == ["0.damaged-1", "0.damaged-2"]
    assert path.with_suffix(".damaged").read_text() == "mine"
    assert second.read_text() == "again"


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o002])
def test_the_umask_decides_who_may_read(tmp_path, umask):
    """Files of a run and folders of the cache get the rights that the user's other files get."""
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "a")
        write_text(tmp_path / "a.txt", "b")
        cached_folder(tmp_path / "b", lambda folder: write_text(folder / "c", "c"))
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "b" / "c").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_scratch_file_is_never_another_ones(tmp_path, monkeypatch):
    """Where a file of the scratch file's name is there already, it is an error, and stays."""
    monkeypatch.setattr("tunebench.results.folder.secrets.token_hex", lambda _: "0" * 16)
    name = f".tunebench-{os.uname().nodename}-{os.getpid()}-{'0' * 16}.tmp"
    (tmp_path / "target").write_text("mine")
    (tmp_path / name).symlink_to(tmp_path / "target")
    with pytest.raises(StoreError, match="File exists"):
        write_text(tmp_path / "a.txt", "a")
    assert (tmp_path / name).is_symlink()
    assert (tmp_path / "target").read_text() == "mine"
