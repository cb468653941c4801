"""``npz:`` files and image folders, sound and unsound."""

import numpy as np
import pytest
import torch
from PIL import Image
from small_files import DAMAGE, NOWHERE, ROWS, check_normalised, failure, npz_arrays, write_images

from tunebench.datasets import open_dataset


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


def test_bytes_without_a_channel_are_grey_images(tmp_path):
    """uint8 (N, H, W) opens as (N, 1, H, W), as convolutional networks want it; floats stay as they are."""
    x, y = ROWS.integers(0, 256, (8, 6, 5), dtype=np.uint8), np.arange(8) % 2
    np.savez(tmp_path / "grey.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    np.savez(tmp_path / "table.npz", x_train=x / 255, y_train=y, x_test=x / 255, y_test=y)
    assert open_dataset(f"npz:{tmp_path}/grey.npz", NOWHERE).shape == (1, 6, 5)
    assert open_dataset(f"npz:{tmp_path}/table.npz", NOWHERE).shape == (6, 5)
