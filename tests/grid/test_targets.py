"""Which classes a grid is about."""

import pytest

from tunebench import DataError, UsageError
from tunebench.grid.targets import check_targets, resolve_protect, resolve_targets

ORIGINALS = [
    {"valid_hits": [9, 5, 7, 8], "valid_totals": [10, 10, 10, 10]},
    {"valid_hits": [9, 9, 6, 8], "valid_totals": [10, 10, 10, 10]},
]
"""Class 1 is the weakest of the first seed, class 2 of both together."""


DIGITS = ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["weakest"], ["2"]),
        (["weakest:3"], ["2", "1", "3"]),
        (["all"], ["0", "1", "2", "3"]),
        (["3"], ["3"]),
        (["3+0"], ["0+3"]),
        (["0+0+3"], ["0+3"]),
        (["3", "weakest:2", "3"], ["3", "2", "1"]),
    ],
    ids=str,
)
def test_names_become_classes(patterns, expected):
    """Weakest is by validation accuracy averaged over seeds; the user's order stays, repeats go."""
    assert resolve_targets(patterns, ORIGINALS, DIGITS, "x y") == expected


def test_equally_weak_classes_come_in_order():
    """A tie goes to the lower class number."""
    tied = [{"valid_hits": [5, 4, 4], "valid_totals": [5, 5, 5]}]
    assert resolve_targets(["weakest"], tied, DIGITS[:3], "x y") == ["1"]


def test_a_class_without_validation_samples():
    """Such a class is never the weakest, and naming it is an error that gives the counts."""
    originals = [{"valid_hits": [3, 0, 4], "valid_totals": [5, 0, 5]}]
    assert resolve_targets(["weakest"], originals, DIGITS[:3], "x y") == ["0"]
    with pytest.raises(DataError, match=r"x y: class 1 has no validation sample; samples per class: \[5, 0, 5\]"):
        resolve_targets(["1"], originals, DIGITS[:3], "x y")


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("wekest", "unknown target 'wekest'; did you mean weakest"),
        ("-1", "unknown target"),
        ("1+", "unknown target"),
        ("4", "x has classes 0 to 3"),
        ("0+9", "x has classes 0 to 3"),
        ("weakest:0", "x has 4 classes"),
        ("weakest:5", "x has 4 classes"),
    ],
)
def test_targets_that_cannot_be(pattern, fault):
    """A slip or a class that the data set does not have is found without any original."""
    with pytest.raises(UsageError, match=fault):
        check_targets([pattern], DIGITS, "x")


ANIMALS = ("cat", "dog", "3", "cat+dog", "all")
COUNTED = tuple(str(number) for number in range(1, 12))


@pytest.mark.parametrize(
    ("pattern", "names", "expected"),
    [
        ("cat", ANIMALS, ["0"]),
        ("dog+cat", ANIMALS, ["0+1"]),
        ("cat+dog", ANIMALS, ["3"]),
        ("3", ANIMALS, ["2"]),
        ("1", ANIMALS, ["1"]),
        ("1+cat", ANIMALS, ["0+1"]),
        ("all", ANIMALS, ["0", "1", "2", "3", "4"]),
        ("4", ANIMALS, ["4"]),
        ("3", COUNTED, ["2"]),
        ("11", COUNTED, ["10"]),
        ("1+11", COUNTED, ["0+10"]),
        ("weakest", COUNTED, ["0"]),
    ],
)
def test_what_the_user_calls_a_class(pattern, names, expected):
    """A name comes first, also one that is a number or holds a plus; a number where no name is one is the index."""
    equal = [{"valid_hits": [1] * len(names), "valid_totals": [1] * len(names)}]
    assert resolve_targets([pattern], equal, names, "x y") == expected


@pytest.mark.parametrize(
    ("pattern", "names", "fault"),
    [
        ("cta", ANIMALS, "unknown target 'cta'; did you mean cat"),
        ("Cat", ANIMALS, "did you mean cat"),
        ("cat+bird", ANIMALS, "unknown target 'cat\\+bird'"),
        ("0", COUNTED, "x has classes 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"),
        ("9", ANIMALS, "x has classes cat, dog"),
        ("40", tuple(f"n{number:02}" for number in range(40)), "n11 and 28 more"),
    ],
)
def test_names_that_no_class_has(pattern, names, fault):
    """The nearest names, or what there is, is named; where classes are numbered, a number is never an index."""
    with pytest.raises(UsageError, match=fault):
        check_targets([pattern], names, "x")


@pytest.mark.parametrize(
    ("texts", "names", "expected"),
    [
        ([], DIGITS, ""),
        (["3"], DIGITS, "3:0"),
        (["3:0.50", "1"], DIGITS, "1:0,3:0.5"),
        (["cat", "cat+dog:2"], ANIMALS, "0:0,3:2"),
        (["a:1"], ("a", "a:1"), "1:0"),
        (["a:1:2.5"], ("a", "a:1"), "1:2.5"),
    ],
    ids=str,
)
def test_what_is_protected(texts, names, expected):
    """Classes by name or number, points after a colon, none meaning 0; a name may hold a colon itself."""
    assert resolve_protect(texts, names, "x", ["weakest:2", "all"]) == expected


@pytest.mark.parametrize(
    ("texts", "targets", "fault"),
    [
        (["bird"], [], "unknown protected class 'bird'"),
        (["cta"], [], "did you mean cat"),
        (["cat:-1"], [], "give points of recall between 0 and 100, such as cat:0.5"),
        (["cat:101"], [], "between 0 and 100"),
        (["cat:"], [], "between 0 and 100"),
        (["cat", "0:1"], [], "protect names class cat twice"),
        (["cat"], ["dog+cat"], "class cat is a target and protected"),
        (["0"], ["weakest", "cat"], "class cat is a target and protected"),
    ],
    ids=str,
)
def test_what_cannot_be_protected(texts, targets, fault):
    """Each fault is found without any original, and named."""
    with pytest.raises(UsageError, match=fault):
        resolve_protect(texts, ANIMALS, "x", targets)


def test_a_protected_class_needs_samples():
    """Without one in validation nothing could be kept."""
    with pytest.raises(DataError, match="x: protected class dog has no validation sample"):
        resolve_protect(["dog"], ANIMALS, "x", counts={"validation": [1, 0, 1, 1, 1]})
