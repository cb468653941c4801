"""Which classes a grid is about."""

import pytest

from tunebench import DataError, UsageError
from tunebench.grid.targets import check_targets, resolve_targets

ORIGINALS = [
    {"valid_hits": [9, 5, 7, 8], "valid_totals": [10, 10, 10, 10]},
    {"valid_hits": [9, 9, 6, 8], "valid_totals": [10, 10, 10, 10]},
]
"""Class 1 is the weakest of the first seed, class 2 of both together."""


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
    assert resolve_targets(patterns, ORIGINALS, "x y") == expected


def test_equally_weak_classes_come_in_order():
    """A tie goes to the lower class number."""
    tied = [{"valid_hits": [5, 4, 4], "valid_totals": [5, 5, 5]}]
    assert resolve_targets(["weakest"], tied, "x y") == ["1"]


def test_a_class_without_validation_samples():
    """Such a class is never the weakest, and naming it is an error that gives the counts."""
    originals = [{"valid_hits": [3, 0, 4], "valid_totals": [5, 0, 5]}]
    assert resolve_targets(["weakest"], originals, "x y") == ["0"]
    with pytest.raises(DataError, match=r"x y: class 1 has no validation sample; samples per class: \[5, 0, 5\]"):
        resolve_targets(["1"], originals, "x y")


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
        check_targets([pattern], 4, "x")
