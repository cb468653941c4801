"""What the classes of a data set are called, and splits of its own."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import run_command
from small_files import NOWHERE, ROWS, failure, npz_arrays, write_idx, write_images

from tunebench.datasets import DatasetSource, Place, open_dataset
from tunebench.datasets.base import opened
from tunebench.datasets.vision import SOURCES
from tunebench.networks import originals
from tunebench.networks.models import find_model
from tunebench.networks.recipes import Recipe


def written(folder, **changes):
    """Name of an archive of three classes, with ``changes``."""
    np.savez(folder / "a.npz", **npz_arrays() | changes)
    return f"npz:{folder}/a.npz"


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        ((0, 1, 2), ["cat", "dog", "emu"], ("cat", "dog", "emu")),
        ((0, 2, 3), ["cat", "dog", "emu", "fox"], ("cat", "emu", "fox")),
        ((1, 2, 3), ["cat", "dog", "emu"], ("cat", "dog", "emu")),
        ((-1, 5, 90), ["cat", "dog", "emu"], ("cat", "dog", "emu")),
        ((1, 2, 3), None, ("1", "2", "3")),
    ],
)
def test_names_of_labels(tmp_path, labels, names, expected):
    """Labels point into class_names; where they cannot, names come in the labels' order; without, numbers are names."""
    arrays = {key: np.array(labels)[npz_arrays()[key]] for key in ("y_train", "y_test")}
    extra = {} if names is None else {"class_names": np.array(names)}
    assert open_dataset(written(tmp_path, **arrays, **extra), NOWHERE).class_names == expected


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["cat", "dog"], "2 class names for 3 labels, 0 to 2"),
        (["cat", "dog", "cat"], "two classes are called 'cat'"),
        (["cat", "", "emu"], "'' cannot be the name of a class"),
        (["cat", "\x1b[31m", "emu"], "cannot be the name of a class"),
        (["cat", "x" * 101, "emu"], "cannot be the name of a class"),
        ([{}, {}, {}], "no readable npz archive"),
    ],
    ids=["too few", "twice", "empty", "escape", "long", "objects"],
)
def test_names_that_cannot_be(tmp_path, names, fault):
    """They are refused before anything is trained."""
    assert fault in failure(written(tmp_path, class_names=np.array(names)), NOWHERE)


def test_folders_in_the_order_in_which_people_count(tmp_path):
    """Folders 1 to 11 are classes in that order, not 1, 10, 11, 2; their names are what the user types."""
    for split in ("train", "test"):
        write_images(tmp_path / split, {str(number): 2 for number in range(1, 12)})
    dataset = open_dataset(f"imagefolder:{tmp_path}", NOWHERE)
    assert dataset.class_names == tuple(map(str, range(1, 12)))
    assert dataset.train().y.tolist() == sorted([*range(11)] * 2)


def test_names_of_bundled_data_sets(tmp_path):
    """Fashion-MNIST and EMNIST have torchvision's names, also where labels start at 1; digits are digits."""
    raw = tmp_path / "EMNIST" / "raw"
    for split, size in (("train", 9), ("test", 6)):
        write_idx(raw / f"emnist-letters-{split}-images-idx3-ubyte", ROWS.integers(0, 256, (size, 28, 28)))
        write_idx(raw / f"emnist-letters-{split}-labels-idx1-ubyte", np.array([1, 2, 26])[np.arange(size) % 3])
    letters = open_dataset("emnist-letters", Place(tmp_path))
    assert (letters.labels, letters.class_names) == ((1, 2, 26), ("a", "b", "z"))
    sources = {source.name: source for source in SOURCES}
    assert sources["fashion-mnist"].names(NOWHERE)[9] == "Ankle boot"
    assert sources["emnist-balanced"].names(NOWHERE)[36] == "a"
    assert sources["mnist"].names(NOWHERE) is None
    assert open_dataset("digits", NOWHERE).class_names == tuple("0123456789")


def medmnist(folder, channels=0, **changes):
    """Name of an archive with MedMNIST's keys: 12, 5 and 6 images of 4 x 4, classes 0 and 1."""
    arrays = {}
    for split, size in (("train", 12), ("val", 5), ("test", 6)):
        shape = (size, 4, 4, channels) if channels else (size, 4, 4)
        arrays[f"{split}_images"] = ROWS.integers(0, 256, shape).astype(np.uint8)
        arrays[f"{split}_labels"] = (np.arange(size) % 2)[:, None].astype(np.uint8)
    np.savez(folder / "med.npz", **arrays | changes)
    return f"npz:{folder}/med.npz", arrays


@pytest.mark.parametrize(("channels", "shape"), [(0, (1, 4, 4)), (3, (3, 4, 4))])
def test_medmnist(tmp_path, channels, shape):
    """Its keys are read, colours first; its val split follows the training samples and is the validation split."""
    name, arrays = medmnist(tmp_path, channels)
    dataset = open_dataset(name, NOWHERE)
    assert (dataset.shape, dataset.train_size, dataset.classes) == (shape, 12, 2)
    train = dataset.train()
    assert (train.valid_from, len(train.y), len(dataset.test().y)) == (12, 17, 6)
    raw = arrays["val_images"].astype(np.float32) / 255
    expected = (raw.transpose(0, 3, 1, 2) if channels else raw[:, None]) - arrays["train_images"].mean() / 255
    scaled = train.x[12:] * (arrays["train_images"].std() / 255)
    torch.testing.assert_close(scaled, torch.tensor(expected, dtype=torch.float32))
    changed, _ = medmnist(tmp_path, channels, val_labels=1 - arrays["val_labels"])
    assert open_dataset(changed, NOWHERE).checksum != dataset.checksum


def test_a_validation_split_of_its_own_is_used(tmp_path):
    """Originals learn from train alone and are judged on val, whatever the seed; a bad val is refused by name."""
    name, arrays = medmnist(tmp_path)
    dataset = open_dataset(name, NOWHERE)
    originals.materialise(dataset)
    spec = find_model("mlp:4")
    for seed in (0, 1):
        key = originals.original_key(dataset, spec, Recipe("quick", lr=0.05, steps=3), "holdout", seed)
        originals.ensure_original(key, spec)
        _, tables = originals.load_original(key, spec)
        assert tables["train_rows"].tolist() == list(range(12))
        assert tables["valid_rows"].tolist() == list(range(12, 17))
    assert "0 times in train" in failure(medmnist(tmp_path, val_labels=arrays["val_labels"] + 7)[0], NOWHERE)
    assert "holds val_images but no val_labels" in failure(without(tmp_path, "val_labels"), NOWHERE)


def without(folder, key):
    """Name of MedMNIST's archive without one array."""
    _, arrays = medmnist(folder)
    np.savez(folder / "med.npz", **{name: array for name, array in arrays.items() if name != key})
    return f"npz:{folder}/med.npz"


def test_a_source_names_its_classes():
    """A plugin's data set lists names of its labels 0, 1, ... as an attribute."""

    class Two(DatasetSource):
        class_names = ("good", "bad")

        def load(self, split, place):
            return np.arange(8, dtype=np.uint8).reshape(4, 2), np.array([0, 1, 0, 1])

    assert opened("two", Two(), NOWHERE).class_names == ("good", "bad")


def test_a_run_speaks_of_classes_by_name(tmp_path):
    """--target takes a name; tables show it, the CSV has it beside the index, a slip is answered with the nearest."""
    rng = np.random.default_rng(1)
    y = np.arange(120) % 3
    x = np.clip(rng.normal(80 + 40 * y[:, None], 40, (120, 9)), 0, 255).astype(np.uint8)
    names = np.array(["cat", "dog", "hot dog"])
    np.savez(tmp_path / "pets.npz", x_train=x[:90], y_train=y[:90], x_test=x[90:], y_test=y[90:], class_names=names)
    grid = ("run", "-d", f"npz:{tmp_path}/pets.npz", "-m", "mlp:4", "-t", "logit-bias", "--seeds", "1", "-q")
    done = run_command(*grid, "--target", "hot dog", "--target", "cat+dog", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "class hot dog" in done.out
    assert "class cat+dog" in done.out
    with (tmp_path / "out" / "leaderboard.csv").open(encoding="utf-8", newline="") as lines:
        assert {(row["target"], row["target_name"]) for row in csv.DictReader(lines)} == {
            ("2", "hot dog"), ("0+1", "cat+dog"),
        }  # fmt: skip
    assert "class hot dog" in (tmp_path / "out" / "leaderboard.md").read_text("utf-8")
    slip = run_command(*grid, "--target", "hotdog", "-o", tmp_path / "out2")
    assert slip.code == 2
    assert "unknown target 'hotdog'; did you mean hot dog" in slip.err


@pytest.mark.skipif("TUNEBENCH_DATA" not in os.environ, reason="needs real data: set TUNEBENCH_DATA")
@pytest.mark.parametrize(
    ("file", "sizes", "names"),
    [
        ("pneumoniamnist.npz", (4708, 524, 624), ("0", "1")),
        (
            "magnetic-tile.npz",
            (938, 0, 406),
            ("MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Free", "MT_Uneven"),
        ),
    ],
)
def test_real_archives(file, sizes, names):
    """PneumoniaMNIST with its three splits, magnetic tiles with the names of their faults."""
    path = Path(os.environ["TUNEBENCH_DATA"]) / file
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    dataset = open_dataset(f"npz:{path}", NOWHERE)
    assert dataset.class_names == names
    assert (dataset.train_size, len(dataset.train().y) - dataset.train_size, len(dataset.test().y)) == sizes
