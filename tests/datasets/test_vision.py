"""torchvision's data sets: real files, files of the real formats, damaged ones."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from small_files import DAMAGE, NOWHERE, ROWS, check_normalised, failure, npz_arrays, write_idx, write_mnist, write_svhn

from tunebench.datasets import Place, dataset_names, open_dataset
from tunebench.datasets.torchvision_compat import import_torchvision


@pytest.fixture(scope="session")
def real() -> Place:
    """The folder with real files that TUNEBENCH_DATA names."""
    folder = os.environ.get("TUNEBENCH_DATA")
    if not folder:
        pytest.skip("TUNEBENCH_DATA is not set")
    return Place(Path(folder))


@pytest.mark.parametrize(("name", "iterations"), [("mnist", 32_000), ("fashion-mnist", 227_000)])
def test_real_files(real, name, iterations):
    """The real MNIST and Fashion-MNIST come with the published normalisation and recipe."""
    dataset = open_dataset(name, real)
    check_normalised(dataset, (60_000, 10_000))
    assert dataset.shape == (1, 28, 28)
    assert dataset.source.paper_iterations == iterations
    x = dataset.test().x
    assert x.min().item() == pytest.approx(-0.1307 / 0.3081)
    assert x.max().item() == pytest.approx((1 - 0.1307) / 0.3081)


def test_mnist_equals_torchvision(real):
    """The tensors are torchvision's own after ToTensor and Normalize."""
    torchvision = import_torchvision()
    transforms = torchvision.transforms
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    theirs = torchvision.datasets.MNIST(real.data_dir, train=False, transform=steps)
    ours = open_dataset("mnist", real).test()
    for row in (0, 4_321, 9_999):
        x, y = theirs[row]
        assert torch.equal(ours.x[row], x)
        assert ours.y[row] == y


def test_digits_need_no_folder_and_match_scikit_learn():
    """The bundled digits are scikit-learn's, split 1,198 / 599 with every class in proportion."""
    from sklearn.datasets import load_digits

    dataset = open_dataset("digits", NOWHERE)
    check_normalised(dataset, (1_198, 599))
    train, test = dataset.train(), dataset.test()
    raw = torch.cat([train.x, test.x]) * dataset.std + dataset.mean
    ours = sorted(map(tuple, (raw * 16).round().flatten(1).int().tolist()))
    theirs = load_digits()
    assert ours == sorted(map(tuple, theirs.data.astype(int).tolist()))
    totals = np.bincount(theirs.target)
    assert np.abs(test.y.bincount().numpy() - totals / 3).max() < 1
    assert train.x.mean().abs().item() < 1e-6
    assert train.x.std().item() == pytest.approx(1, abs=1e-3)


def test_svhn_files(tmp_path):
    """MATLAB files are transposed to (N, 3, 32, 32) and their label 10 becomes class 0."""
    write_svhn(tmp_path)
    dataset = open_dataset("svhn", Place(tmp_path))
    check_normalised(dataset, (30, 20))
    x = scipy.io.loadmat(tmp_path / "train_32x32.mat")["X"]
    assert dataset.train().y[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    torch.testing.assert_close(
        dataset.train().x[7, 2, 5, 9], torch.tensor((x[5, 9, 2, 7] / 255 - 0.5) / 0.5, dtype=torch.float32)
    )


def test_emnist_letters_start_at_class_0(tmp_path):
    """Labels 1..26 become classes 0..25; the class 0 that torchvision leaves empty is gone."""
    raw = tmp_path / "EMNIST" / "raw"
    for split, size in (("train", 52), ("test", 26)):
        write_idx(raw / f"emnist-letters-{split}-images-idx3-ubyte", ROWS.integers(0, 256, (size, 28, 28)))
        write_idx(raw / f"emnist-letters-{split}-labels-idx1-ubyte", np.arange(size) % 26 + 1)
    dataset = open_dataset("emnist-letters", Place(tmp_path))
    check_normalised(dataset, (52, 26))
    assert dataset.labels == tuple(range(1, 27))
    assert dataset.source.paper_iterations is None


@pytest.mark.parametrize("name", sorted(set(dataset_names()) - {"digits"}))
def test_missing_files_are_named(tmp_path, name):
    """Every bundled set that is not there says which file, where, and what to do."""
    text = failure(name, Place(tmp_path))
    assert str(tmp_path) in text
    assert "is missing" in text
    assert "TUNEBENCH_DATA" in text
    assert "--download" in text
    assert "--data-dir" in failure(name, NOWHERE)


def test_packed_file_is_pointed_out(tmp_path):
    """A .gz beside the missing file is worth a better hint than a download."""
    images = write_mnist(tmp_path) / "t10k-images-idx3-ubyte"
    images.with_name(images.name + ".gz").write_bytes(gzip.compress(images.read_bytes()))
    images.unlink()
    text = failure("mnist", Place(tmp_path))
    assert f"{images} is missing; unpack {images.name}.gz" in text


def test_failed_download_says_so(tmp_path, monkeypatch, capfd):
    """With --download and no network the line tells why; stdout stays clean."""
    datasets = import_torchvision().datasets
    dead = "http://127.0.0.1:9/"
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [dead])
    monkeypatch.setattr(datasets.SVHN, "split_list", {"train": [dead, "train_32x32.mat", "0" * 32]})
    for name, file in (("fashion-mnist", "train-images-idx3-ubyte"), ("svhn", "train_32x32.mat")):
        text = failure(name, Place(tmp_path, download=True))
        assert f"{file} is missing" in text
        assert "the download failed" in text
    assert capfd.readouterr().out == ""


def test_present_files_are_not_downloaded_again(tmp_path):
    """--download leaves files that are there alone, also those that differ from the published ones."""
    write_svhn(tmp_path)
    write_mnist(tmp_path)
    for name in ("svhn", "mnist"):
        assert open_dataset(name, Place(tmp_path, download=True)).classes == 10


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_damaged_idx_files_are_named(tmp_path, file, damage):
    """Empty, truncated, padded and foreign idx files are refused by name."""
    path = write_mnist(tmp_path) / file
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert str(path) in failure("mnist", Place(tmp_path))


def test_idx_contents_are_checked(tmp_path):
    """Unequal lengths, labels out of range and no samples at all are refused."""
    raw = write_mnist(tmp_path)
    labels = raw / "train-labels-idx1-ubyte"
    write_idx(labels, np.arange(39) % 10)
    assert "40 images but train-labels-idx1-ubyte 39 labels" in failure("mnist", Place(tmp_path))
    write_idx(labels, np.arange(40) % 11)
    assert f"{labels} holds label 10, outside 0..9" in failure("mnist", Place(tmp_path))
    write_idx(labels, np.arange(0))
    write_idx(raw / "train-images-idx3-ubyte", np.zeros((0, 28, 28)))
    assert "empty" in failure("mnist", Place(tmp_path))


@pytest.mark.parametrize("damage", ["empty", "short", "text"])
def test_damaged_mat_files_are_named(tmp_path, damage):
    """A MATLAB file that scipy cannot read is refused by name."""
    write_svhn(tmp_path)
    path = tmp_path / "test_32x32.mat"
    path.write_bytes(DAMAGE[damage](path.read_bytes())[:40_000])
    assert str(path) in failure("svhn", Place(tmp_path))


@pytest.mark.parametrize(
    "replace",
    [
        {"X": np.zeros((16, 16, 3, 30), np.uint8)},
        {"X": np.zeros((32, 32, 3, 30))},
        {"y": np.ones((29, 1), np.uint8)},
        {"y": np.full((30, 1), 11, np.uint8)},
    ],
)
def test_mat_contents_are_checked(tmp_path, replace):
    """Wrong sizes, types, lengths and labels in a readable MATLAB file are refused by name."""
    write_svhn(tmp_path, **replace)
    assert str(tmp_path / "train_32x32.mat") in failure("svhn", Place(tmp_path))


def test_test_labels_must_occur_in_train(tmp_path):
    """A class that only the test split has is named with its counts."""
    arrays = npz_arrays() | {"y_test": np.array([0, 1, 2, 7, 7, 7])}
    np.savez(tmp_path / "a.npz", **arrays)
    assert "label 7 occurs 3 times in test and 0 times in train" in failure(f"npz:{tmp_path}/a.npz", NOWHERE)
