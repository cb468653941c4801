"""Data sets in their real file formats, damaged files of each kind, and splits."""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tunebench import DataError, UsageError
from tunebench.datasets import Dataset, DatasetSource, Place, dataset_names, holdout, open_dataset
from tunebench.datasets.splits import stratified
from tunebench.torchvision_compat import import_torchvision

NOWHERE = Place(None)
ROWS = np.random.default_rng(0)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write uint8 ``array`` in MNIST's file format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(root: Path, kind: str = "MNIST", prefixes: tuple[str, str] = ("train", "t10k")) -> Path:
    """Write 40 training and 20 test images of classes 0..9; return the folder of the files."""
    raw = root / kind / "raw"
    for prefix, size in zip(prefixes, (40, 20), strict=True):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", ROWS.integers(0, 256, (size, 28, 28)))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(size) % 10)
    return raw


def write_svhn(root: Path, **replace: np.ndarray) -> None:
    """Write 30 training and 20 test images with labels 1..10 as MATLAB files."""
    for split, size in (("train", 30), ("test", 20)):
        x = ROWS.integers(0, 256, (32, 32, 3, size)).astype(np.uint8)
        y = (np.arange(size) % 10 + 1).astype(np.uint8)[:, None]
        scipy.io.savemat(root / f"{split}_32x32.mat", {"X": x, "y": y} | replace)


def npz_arrays() -> dict[str, np.ndarray]:
    """A small valid archive: 3 classes, uint8 inputs of 5 features."""
    return {
        "x_train": ROWS.integers(0, 256, (12, 5)).astype(np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": ROWS.integers(0, 256, (6, 5)).astype(np.uint8),
        "y_test": np.arange(6) % 3,
    }


def write_images(folder: Path, classes: dict[str, int], mode: str = "L", size: tuple[int, int] = (6, 4)) -> None:
    """Write ``count`` PNG images per class into a folder each."""
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for k in range(count):
            Image.new(mode, size, k * 20 if mode == "L" else (k * 20, 0, 100)).save(folder / name / f"{k}.png")


def failure(name: str, place: Place) -> str:
    """The one line of the `DataError` that opening ``name`` raises."""
    with pytest.raises(DataError) as caught:
        open_dataset(name, place)
    text = str(caught.value)
    assert text.count("\n") == 0
    return text


@pytest.fixture(scope="session")
def real() -> Place:
    """The folder with real files that TUNEBENCH_DATA names."""
    folder = os.environ.get("TUNEBENCH_DATA")
    if not folder:
        pytest.skip("TUNEBENCH_DATA is not set")
    return Place(Path(folder))


def check_normalised(dataset: Dataset, sizes: tuple[int, int]) -> None:
    """Sizes, types and label range of both splits."""
    for samples, size in zip((dataset.train(), dataset.test()), sizes, strict=True):
        assert samples.x.shape == (size, *dataset.shape)
        assert samples.x.dtype == torch.float32
        assert samples.y.dtype == torch.int64
        assert samples.y.unique().tolist() == list(range(dataset.classes))


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


DAMAGE = {
    "empty": lambda data: b"",
    "short header": lambda data: data[:6],
    "short": lambda data: data[:-3],
    "long": lambda data: data + b"\0",
    "magic": lambda data: b"\0\0\x0d\x03" + data[4:],
    "text": lambda data: b"<html>404 Not Found</html>" * 9,
}


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


def test_npz(tmp_path):
    """uint8 is scaled, floats are not; train gives the moments; labels may be any integers."""
    arrays = npz_arrays()
    arrays["y_train"], arrays["y_test"] = arrays["y_train"] * 10 - 5, arrays["y_test"] * 10 - 5
    np.savez(tmp_path / "bytes.npz", **arrays)
    scaled = {key: value / 255 if key.startswith("x") else value for key, value in arrays.items()}
    np.savez_compressed(tmp_path / "floats.npz", **scaled)
    name = f"npz:{tmp_path}/bytes.npz"
    ours, floats = open_dataset(name, NOWHERE), open_dataset(f"npz:{tmp_path}/floats.npz", NOWHERE)
    assert (ours.name, ours.shape, ours.labels) == (name, (5,), (-5, 5, 15))
    check_normalised(ours, (12, 6))
    expected = (scaled["x_test"] - scaled["x_train"].mean()) / scaled["x_train"].std()
    torch.testing.assert_close(ours.test().x, torch.tensor(expected, dtype=torch.float32))
    torch.testing.assert_close(floats.test().x, ours.test().x)
    assert torch.equal(ours.train().x, ours.train().x)


def test_checksum_follows_every_array(tmp_path):
    """The checksum is stable, and differs when any of the four arrays does."""
    arrays = npz_arrays()
    seen = set()
    for change in (None, None, *arrays):
        changed = {key: value.copy() for key, value in arrays.items()}
        if change is not None:
            first = changed[change].flat[0]
            changed[change].flat[0] = 1 if first != 1 else 2
        np.savez(tmp_path / "a.npz", **changed)
        checksum = open_dataset(f"npz:{tmp_path}/a.npz", NOWHERE).checksum
        assert len(checksum) == 64
        seen.add(checksum)
    assert len(seen) == 5


BAD_ARRAYS = {
    "no y_test": lambda arrays: {key: arrays[key] for key in ("x_train", "y_train", "x_test")},
    "objects": lambda arrays: arrays | {"x_train": np.array([{}] * 12)},
    "lengths": lambda arrays: arrays | {"y_train": arrays["y_train"][:-1]},
    "float labels": lambda arrays: arrays | {"y_train": arrays["y_train"] / 2},
    "integer inputs": lambda arrays: arrays | {"x_train": arrays["x_train"].astype(np.int32)},
    "NaN": lambda arrays: {k: np.full(v.shape, np.nan) if k == "x_train" else v for k, v in arrays.items()},
    "shapes": lambda arrays: arrays | {"x_test": arrays["x_test"][:, :-1]},
    "one class": lambda arrays: arrays | {"y_train": np.zeros(12, int)},
    "constant": lambda arrays: arrays | {"x_train": np.zeros((12, 5), np.uint8)},
    "no samples": lambda arrays: arrays | {"x_test": np.zeros((0, 5), np.uint8), "y_test": np.zeros(0, int)},
    "scalars": lambda arrays: arrays | {"x_train": np.zeros(12)},
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_unfit_npz_arrays_are_refused(tmp_path, case):
    """Every way in which arrays do not make a data set ends in one line with the file's name."""
    np.savez(tmp_path / "bad.npz", **BAD_ARRAYS[case](npz_arrays()))
    assert f"{tmp_path}/bad.npz" in failure(f"npz:{tmp_path}/bad.npz", NOWHERE)


@pytest.mark.parametrize("damage", ["empty", "short", "text", "npy", "missing", "flipped"])
def test_damaged_npz_files_are_named(tmp_path, damage):
    """Files that are no npz archives are refused by name."""
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, **npz_arrays())
    data = bytearray(path.read_bytes())
    if damage == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif damage == "missing":
        path.unlink()
    elif damage == "flipped":
        data[60:80] = bytes(20)
        path.write_bytes(data)
    else:
        path.write_bytes(DAMAGE[damage](bytes(data)))
    text = failure(f"npz:{path}", NOWHERE)
    assert str(path) in text
    assert "pickle" not in text


def test_image_folder_with_two_parts(tmp_path):
    """train/ numbers the classes of test/ too, the first image sets the size, and grey stays grey."""
    write_images(tmp_path / "train", {"ant": 3, "bee": 3, "cat": 3})
    write_images(tmp_path / "test", {"bee": 2, "cat": 1}, size=(12, 8))
    dataset = open_dataset(f"imagefolder:{tmp_path}", NOWHERE)
    assert (dataset.shape, dataset.classes) == ((1, 4, 6), 3)
    assert dataset.test().y.tolist() == [1, 1, 2]
    pixels = (dataset.test().x * dataset.std + dataset.mean) * 255
    assert pixels[:, 0, 2, 3].round().tolist() == [0, 20, 0]


def test_image_folder_with_one_tree(tmp_path):
    """One tree is split 80/20, stratified, the same way each time; one RGB image makes all RGB."""
    write_images(tmp_path, {"ant": 10, "bee": 10})
    write_images(tmp_path, {"cat": 10}, mode="RGB")
    dataset = open_dataset(f"imagefolder:{tmp_path}", NOWHERE)
    assert dataset.shape == (3, 4, 6)
    assert dataset.train().y.bincount().tolist() == [8, 8, 8]
    assert dataset.test().y.bincount().tolist() == [2, 2, 2]
    assert dataset.checksum == open_dataset(f"imagefolder:{tmp_path}", NOWHERE).checksum


def test_image_folder_faults_are_named(tmp_path):
    """A missing folder, no classes, one part only, a strange class and unfit images each name the path."""
    name = f"imagefolder:{tmp_path / 'a'}"
    assert "is missing" in failure(name, NOWHERE)
    (tmp_path / "a").mkdir()
    assert str(tmp_path / "a") in failure(name, NOWHERE)
    write_images(tmp_path / "a" / "train", {"ant": 2, "bee": 2})
    assert "counterpart" in failure(name, NOWHERE)
    write_images(tmp_path / "a" / "test", {"ant": 2, "fly": 2})
    assert "no class 'fly'" in failure(name, NOWHERE)
    (tmp_path / "a" / "test" / "fly").rename(tmp_path / "a" / "test" / "bee")
    bad = tmp_path / "a" / "train" / "ant" / "1.png"
    good = bad.read_bytes()
    for data in (b"", b"no image", good[:50]):
        bad.write_bytes(data)
        assert str(bad) in failure(name, NOWHERE)
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(bad)
    assert "8 bits" in failure(name, NOWHERE)
    write_images(tmp_path / "b", {"ant": 9, "bee": 1})
    assert str(tmp_path / "b") in failure(f"imagefolder:{tmp_path / 'b'}", NOWHERE)


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


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(2, 60), min_size=2, max_size=12), data=st.data())
def test_stratified_is_exact_proportional_and_complete(counts, data):
    """Parts are disjoint, complete, sorted and of exact size, each class within one sample of its share."""
    total = sum(counts)
    size = data.draw(st.integers(len(counts), total - len(counts)))
    y = np.random.default_rng(total).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, held = stratified(y, size, seed=3)
    assert len(held) == size
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(total))
    assert (np.diff(kept) > 0).all()
    assert (np.diff(held) > 0).all()
    took, exact = np.bincount(y[held]), np.array(counts) * size / total
    assert ((took >= 1) & (took < counts)).all()
    if (exact >= 1).all() and (exact <= np.array(counts) - 1).all():
        assert (np.abs(took - exact) < 1).all()


def test_holdout_shares():
    """One sixth from 10,000 samples on, one third below: MNIST's 60,000 give 50,000 and 10,000."""
    for total, expected in ((60_000, 10_000), (10_000, 1_666), (9_999, 3_333), (1_198, 399)):
        train, valid = holdout(torch.arange(total) % 10, seed=0)
        assert (len(train), len(valid)) == (total - expected, expected)
        assert train.dtype == valid.dtype == torch.int64


def test_holdout_depends_on_the_seed_alone():
    """The global random state neither matters nor changes; another seed gives another split."""
    y = torch.arange(300) % 7
    torch.manual_seed(1)
    np.random.seed(1)
    state = torch.get_rng_state()
    first = holdout(y, seed=5)[1]
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    np.random.seed(2)
    assert torch.equal(first, holdout(y, seed=5)[1])
    assert not torch.equal(first, holdout(y, seed=6)[1])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 0, 0, 4], "class 4 has 1 sample"),
        ([0, 0, 1, 1, 2, 2], "6 samples of 3 classes"),
        ([], "0 samples"),
    ],
)
def test_holdout_refuses_classes_that_cannot_be_split(labels, expected):
    """Too few samples of a class, or at all, are a data error with counts."""
    with pytest.raises(DataError, match=expected):
        holdout(torch.tensor(labels, dtype=torch.int64), seed=0)
