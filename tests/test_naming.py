"""Names as paths, as seeds, and as suggestions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunebench import UsageError
from tunebench.naming import name_of, path_part, seed_of, unknown_name


@given(st.text(min_size=1).filter(lambda name: name not in (".", "..")))
def test_any_name_becomes_one_path_part_and_back(name):
    """No name leaves its folder, and none is lost on the way to a path and back."""
    if any(0xD800 <= ord(sign) < 0xE000 for sign in name):
        return
    part = path_part(name)
    assert "/" not in part
    assert "\\" not in part
    assert "\0" not in part
    assert name_of(part) == name


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
