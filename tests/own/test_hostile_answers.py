"""Tables of answers that `certify` is given by strangers: no label is taken from one that does not fit."""

from __future__ import annotations

import os

import pytest
from conftest import run_command

from tunebench import UsageError
from tunebench.own import answers

HEAD = "path,original,tuned,label\n"
ANSWERS = {
    "formulas": (HEAD + "a.png,cat,dog,=1+1\n", "'=1+1' is no class"),
    "a formula as a path": (HEAD + "=HYPERLINK(1),cat,dog,cat\n", "was not asked for"),
    "a class that there is not": (HEAD + "a.png,cat,dog,horse\n", "'horse' is no class"),
    "a number for a name": (HEAD + "a.png,cat,dog,0\n", "'0' is no class"),
    "NUL": (HEAD + "a.png,cat,dog,c\0at\n", "is no class"),
    "NUL in a path": (HEAD + "a\0.png,cat,dog,cat\n", "was not asked for"),
    "controls": (HEAD + "a.png,cat,dog,\x1b[2J\u202e\n", "is no class"),
    "UTF-16": ((HEAD + "a.png,cat,dog,cat\n").encode("utf-16"), "cannot be read as CSV"),
    "Latin-1": ((HEAD + "caf\u00e9.png,cat,dog,cat\n").encode("latin-1"), "cannot be read as CSV"),
    "half a character": (HEAD.encode() + b"a.png,cat,dog,cat\xc3", "cannot be read as CSV"),
    "a path twice": (HEAD + "a.png,cat,dog,cat\n" * 2, "stands there twice"),
    "a path without a label": (HEAD + "a.png,cat,dog,\n", "has no label"),
    "a line that ends early": (HEAD + "a.png\n", "has no label"),
    "an empty path": (HEAD + ",cat,dog,cat\n", "was not asked for"),
    "a path that leads out": (HEAD + "../a.png,cat,dog,cat\n", "was not asked for"),
    "a sample missing": (HEAD + "a.png,cat,dog,cat\n", "lacks 1 of 2 samples"),
    "no heading": ("a.png,cat,dog,cat\n", "has no columns path and label"),
    "no column of labels": ("path,original,tuned\na.png,cat,dog\n", "has no columns path and label"),
    "two columns of labels": ("path,label,label\na.png,cat,dog\nb.png,cat,dog\n", "two columns of one name"),
    "two columns of paths": ("path,path,label\na.png,b.png,cat\n", "two columns of one name"),
    "a field of a megabyte": (HEAD + "a.png,cat,dog," + "x" * 2**20 + "\n", "field larger than field limit"),
    "a label of 100,000 letters": (HEAD + "a.png,cat,dog," + "x" * 100_000 + "\n", "is no class"),
    "a quote that never ends": (HEAD + '"a.png,cat,dog,cat\n' * 3, "was not asked for"),
    "an empty file": ("", "has no columns path and label"),
    "a folder": (lambda p: p.mkdir(), "no regular file"),
    "a pipe": (os.mkfifo, "no regular file"),
    "a device": (lambda p: p.symlink_to("/dev/zero"), "no regular file"),
    "a terabyte": (lambda p: (p.touch(), os.truncate(p, 2**40)), "larger than 64 MiB"),
    "a link to nothing": (lambda p: p.symlink_to(p.parent / "gone"), "No such file"),
}
"""Text, bytes, or what makes the file; and what the error says. Asked for are a.png and b.png."""


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_of_a_stranger(tmp_path, case):
    """No label is taken from a table that does not fit, and the line that is wrong is named."""
    content, told = ANSWERS[case]
    path = tmp_path / "answers.csv"
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError) as caught:
        answers.answered(path, ["a.png", "b.png", "c.png"], [0, 1], ["cat", "dog"])
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < len(str(path)) + 500


def test_certify_says_it_in_one_line(home, tmp_path):
    """The command ends with exit code 2 at the same door, and certifies nothing."""
    (tmp_path / "a.csv").write_text(HEAD + "x\x1b[2J.png,cat,dog,cat\n")
    network = home.folder / "net.pt"
    start = ("certify", "--model", f"{home.folder / 'net.py'}:Net", "--original", network, "--tuned", network)
    done = run_command(
        *start, "--unlabelled", home.folder / "digits" / "val", "--budget", "2", "--answers", tmp_path / "a.csv"
    )
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "line 2: 'x\\x1b[2J.png' was not asked for" in done.err
