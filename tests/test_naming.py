"""Names as paths, as seeds, and as suggestions."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunebench import UsageError
from tunebench.naming import cut, is_hashed, name_of, one_line, path_part, printable, seed_of, spelt_out, unknown_name


@given(st.text(min_size=1).filter(lambda name: name not in (".", "..")))
def test_any_name_becomes_one_path_part_and_back(name):
    """No name leaves its folder or is too long for it, and none but a long one is lost on the way and back."""
    if any(0xD800 <= ord(sign) < 0xE000 for sign in name):
        return
    part = path_part(name)
    assert "/" not in part
    assert "\\" not in part
    assert "\0" not in part
    assert len(part) <= 200
    assert is_hashed(part) == (len(quote(name, safe="")) > 200)
    assert is_hashed(part) or name_of(part) == name


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_names_that_are_folders_are_refused(name):
    """What a file system reads as this folder or its parent is no name."""
    with pytest.raises(UsageError):
        path_part(name)


def test_seeds_are_fixed():
    """Seeds are the same on every machine and in every version: published figures hang on them."""
    assert seed_of("initialisation", 0) == 848829562
    assert seed_of("digits", "model1", "quick", (8,), "sj", 0) == 1361587513


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_different_names_give_different_seeds(a, b):
    """The seed fits torch and numpy, and depends on all names and where one ends."""
    assert 0 <= seed_of(*a) < 2**31
    joined = ["\x1f" in name for name in a + b]
    if a and b and a != b and not any(joined):
        assert seed_of(*a) != seed_of(*b)


def test_suggestions():
    """The nearest names come first; where nothing is near, all of them."""
    assert "did you mean smvt-sj or smvt-sj-exact" in str(
        unknown_name("tuner", "smvt-js", ["smvt-sj", "smvt-sj-exact"])
    )
    assert "known: cw-p, sj" in str(unknown_name("tuner", "zzz", ["sj", "cw-p"]))


SHOWN = [
    ("\x1b[2Jgone", "\\x1b[2Jgone"),
    ("\x9b2J", "\\x9b2J"),
    ("a\u202egpj.exe", "a\\u202egpj.exe"),
    ("a\u200fb\u061c", "a\\u200fb\\u061c"),
    ("sj\u200b", "sj\\u200b"),
    ("sj\U000e0041", "sj\\U000e0041"),
    ("\ufeffmnist", "\\ufeffmnist"),
    ("caf\udce9", "caf\\udce9"),
    ("a\rb\r\nc\td", "a\\rb\nc\td"),
]
"""What acts on a terminal or hides, and how it is shown."""


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_what_acts_on_a_reader_becomes_an_escape(text, shown):
    """Terminal controls, marks of direction and hidden letters are shown."""
    assert printable(text) == shown
    assert "\n" not in one_line(text)
    shown.encode()


def test_letters_of_any_language_stay():
    """With the joiners that some of them need."""
    text = "Jos\u00e9 \u732b \u0646\u200c\u0645 +5"
    assert printable(text) == one_line(text) == text


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["b", "a*", "b"], ["b", "a", "a1"]),
        (["a[1]", "a*"], ["a1", "a"]),
        (["npz:*.npz", "x"], ["npz:*.npz", "x"]),
        (["t:r*"], ["t:r1", "t:r2"]),
        (["odd[name]"], ["odd[name]"]),
    ],
)
def test_globs_are_spelt_out(patterns, expected):
    """A glob stands for the names that match, in order and once; names and paths stay as they are."""
    known = ["a", "a1", "b", "t:r1", "t:r2", "odd[name]"]
    assert spelt_out(patterns, known, lambda pattern: UsageError(pattern)) == expected


def test_a_glob_without_a_match():
    """It is an error, as it can mean nothing else."""
    with pytest.raises(UsageError, match=r"c\*"):
        spelt_out(["a", "c*"], ["a"], lambda pattern: UsageError(pattern))


@pytest.mark.parametrize("length", [10, 299, 300, 301, 10_000])
def test_long_texts_keep_head_and_tail(length):
    """Never longer than asked, and both ends are there."""
    text = "HEAD" + "x" * (length - 8) + "TAIL"
    found = cut(text, 300)
    assert len(found) == min(length, 300)
    assert found.startswith("HEAD")
    assert found.endswith("TAIL")
