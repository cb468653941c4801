"""Data sets in their real file formats, damaged files of each kind, and splits."""

import subprocess
import sys

import numpy as np
import pytest
from small_files import NOWHERE

from tunebench import DataError, UsageError
from tunebench.datasets import DatasetSource, dataset_names, open_dataset


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("minst", "mnist"),
        ("emnist-letter", "emnist-letters"),
        ("toys", "toy"),
        ("zzz", "digits"),
        ("npz:", "npz:FILE"),
    ],
)
def test_unknown_names(name, expected):
    """An unknown name is a usage error of one line with the nearest names, plugins' included."""
    with pytest.raises(UsageError, match=expected) as caught:
        open_dataset(name, NOWHERE, {"toy": Toy()})
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


class Toy(DatasetSource):
    name = "toy"
    mean = 0.5
    std = 0.25

    def load(self, split, place):
        """Four samples of labels 3 and 8."""
        return np.array([[0.0, 0.25], [0.5, 0.75]] * 2, np.float32), np.array([3, 8, 3, 8], np.uint8)


def test_plugin_data_set():
    """A plugin's source takes part with its own mean and std, its arrays stay as they are."""
    dataset = open_dataset("toy", NOWHERE, {"toy": Toy()})
    for _ in range(2):
        assert dataset.train().x[:2].tolist() == [[-2, -1], [0, 1]]
    assert dataset.train().y.tolist() == [0, 1, 0, 1]
    assert dataset.labels == (3, 8)


def test_broken_plugin_data_set_is_named():
    """Whatever a plugin's source raises becomes one line with the data set's name and the cause."""
    with pytest.raises(DataError, match="hollow: the train split cannot be loaded"):
        open_dataset("hollow", NOWHERE, {"hollow": DatasetSource()})


def test_names_are_sorted_and_complete():
    """The bundled names are those that the documentation lists."""
    emnist = [f"emnist-{split}" for split in ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")]
    assert dataset_names() == tuple(sorted(["digits", "fashion-mnist", "mnist", "svhn", *emnist]))


def test_import_stays_light():
    """Importing the package and opening the digits imports neither torchvision nor scikit-learn."""
    code = (
        "import sys; from tunebench.datasets import open_dataset, Place; open_dataset('digits', Place(None));"
        "print([name for name in ('torchvision', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
