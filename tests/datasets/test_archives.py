"""A folder of images in one archive: read like the folder, kept in the cache, and never a way out of it."""

import io
import os
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_files import NOWHERE, failure, npz_arrays, write_images

from tunebench.cache import cache_root
from tunebench.datasets import Place, archives, open_dataset
from tunebench.grid.plan import RunOptions, make_plan
from tunebench.grid.suite import Suite


@pytest.fixture
def folder(tmp_path):
    """Two parts with three classes, below one folder of another name."""
    write_images(tmp_path / "photos" / "train", {"ant": 3, "bee": 3, "cat 10": 2})
    write_images(tmp_path / "photos" / "val", {"bee": 1})
    write_images(tmp_path / "photos" / "test", {"bee": 2, "cat 10": 1}, mode="RGB")
    return tmp_path / "photos"


@pytest.mark.parametrize("kind", ["tar", "gztar", "bztar", "xztar", "zip"])
def test_an_archive_is_its_folder(folder, kind):
    """Pixels, labels, names and parts are those of the folder, and the second time they come from the cache."""
    packed = shutil.make_archive(str(folder.parent / "a"), kind, folder.parent, folder.name)
    ours, theirs = (open_dataset(f"imagefolder:{path}", NOWHERE) for path in (packed, folder))
    assert (ours.checksum, ours.class_names) == (theirs.checksum, ("ant", "bee", "cat 10"))
    before = {path: path.stat().st_mtime_ns for path in (cache_root() / "images").rglob("*")}
    assert open_dataset(f"imagefolder:{packed}", NOWHERE).checksum == ours.checksum
    assert {path: path.stat().st_mtime_ns for path in (cache_root() / "images").rglob("*")} == before
    assert not any(path.is_dir() for folder in (cache_root() / "images").iterdir() if folder.is_dir()
                   for path in folder.iterdir())  # fmt: skip


def packed(path, *members):
    """A tar archive at ``path`` of members, given as changes of a `tarfile.TarInfo` for four bytes."""
    with tarfile.open(path, "w:gz") as archive:
        for fields in members:
            info = tarfile.TarInfo("train/ant/1.png")
            info.size = 4
            for name, value in fields.items():
                setattr(info, name, value)
            archive.addfile(info, io.BytesIO(b"text"))
    return path


HOSTILE = [
    ([{"name": "/etc/a.png"}], "'/etc/a.png', which leads out of its folder"),
    ([{"name": "train/../../a.png"}], "leads out of its folder"),
    ([{"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0}], "a link or a device"),
    ([{"type": tarfile.LNKTYPE, "linkname": "b.png", "size": 0}], "a link or a device"),
    ([{"type": tarfile.FIFOTYPE, "size": 0}], "a link or a device"),
    ([{"type": tarfile.CHRTYPE, "size": 0}], "a link or a device"),
    ([{"name": "C:\\train\\1.png"}], "leads out of its folder"),
    ([{"name": "train/./ant/../../../a.png"}], "leads out of its folder"),
    ([{"name": "train/ant/\x1b[2J.png"}], "no readable image"),
    ([{"name": "train/ant/\udce9.png"}], "no readable image"),
    ([{}, {}], "'train/ant/1.png' twice"),
    ([{"name": "train"}, {}], "'train/ant/1.png' twice, or inside of another file"),
    ([{}, {"name": "train/ant"}], "'train/ant' twice"),
    ([{"name": "train/ant"}, {}], "inside of another file"),
    ([{"name": "train/" + 300 * "a"}], "under a name that no file can have"),
    ([{}], "train/ant/1.png is no readable image"),
]
"""Members of an archive, and what the error says."""


@pytest.mark.parametrize(("members", "told"), HOSTILE)
def test_archives_that_are_refused(tmp_path, members, told):
    """A name that leads elsewhere, what is no file, and what is no image are told in one line with their names."""
    path = packed(tmp_path / "a.tar.gz", *members, {"name": "test/ant/1.png"})
    text = failure(f"imagefolder:{path}", NOWHERE)
    assert text.startswith(str(path))
    assert told in text
    assert "tree" not in text


def test_a_zip_is_read_with_the_same_care(tmp_path):
    """Its names are checked too."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../a.png", b"text")
    assert "leads out of its folder" in failure(f"imagefolder:{tmp_path}/a.zip", NOWHERE)
    assert not (tmp_path.parent / "a.png").exists()


def test_a_protected_zip_is_told(tmp_path):
    """It is named, and nobody is asked for a password."""
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("train/ant/1.png", b"text")
    content = bytearray((tmp_path / "b.zip").read_bytes())
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flag of a password, in both headers
        content[content.index(mark) + place] |= 1
    (tmp_path / "b.zip").write_bytes(content)
    text = failure(f"imagefolder:{tmp_path}/b.zip", NOWHERE)
    assert "encrypted" in text
    assert str(tmp_path / "b.zip") in text


@pytest.mark.parametrize(("limit", "value"), [("MOST_FILES", 1), ("MOST_BYTES", 7)])
def test_the_size_of_an_archive_is_bounded(tmp_path, monkeypatch, limit, value):
    """Files and bytes are counted by what the archive says before any of them is read."""
    monkeypatch.setattr(archives, limit, value)
    path = packed(tmp_path / "a.tar.gz", {}, {"name": "train/ant/2.png"})
    assert "holds more than" in failure(f"imagefolder:{path}", NOWHERE)


@pytest.mark.parametrize("kind", ["gztar", "zip"])
def test_a_damaged_archive_is_told(folder, kind):
    """One that ends too soon, or was changed on the way, is named."""
    whole = Path(shutil.make_archive(str(folder.parent / "a"), kind, folder))
    data = bytearray(whole.read_bytes())
    if kind == "zip":
        middle = len(data) // 4
        data[middle : middle + 200] = bytes(200)
    whole.write_bytes(data if kind == "zip" else data[: len(data) // 2])
    text = failure(f"imagefolder:{whole}", NOWHERE)
    assert "no readable archive" in text
    assert str(whole) in text


def test_a_relative_path_may_lie_in_the_data_folder(tmp_path, monkeypatch):
    """What a suite names is found from everywhere; a file of here comes first."""
    here, data = tmp_path / "here", tmp_path / "data"
    here.mkdir()
    data.mkdir()
    monkeypatch.chdir(here)
    np.savez(data / "a.npz", **npz_arrays())
    found = open_dataset("npz:a.npz", Place(data))
    assert found.name == "npz:a.npz"
    np.savez(here / "a.npz", **npz_arrays())
    assert open_dataset("npz:a.npz", Place(data)).checksum != found.checksum
    assert "is missing" in failure("npz:b.npz", Place(data))


def test_a_class_without_a_sample_is_refused_with_the_counts(tmp_path):
    """Before anything is trained: of the archive's own validation split, and of test."""
    write_images(tmp_path / "train", {"ant": 3, "bee": 3, "cat": 3})
    write_images(tmp_path / "val", {"bee": 1, "cat": 1})
    write_images(tmp_path / "test", {"ant": 2, "bee": 2})
    name = f"imagefolder:{tmp_path}"

    def told(target):
        with pytest.raises(archives.DataError) as caught:
            make_plan(Suite(datasets=(name,), targets=(target,)), RunOptions(tmp_path / "out"))
        return str(caught.value)

    assert "class ant has no sample in validation; samples per class: ant 0, bee 1, cat 1" in told("ant")
    assert "class cat has no sample in test; samples per class: ant 2, bee 2, cat 0" in told("bee+cat")


REAL = {
    "npz:pneumoniamnist.npz": ((1, 28, 28), 2, 4708, 524, 624),
    "npz:emnist47-reduced.npz": ((1, 28, 28), 47, 36_049, 0, 7050),
    "npz:magnetic-tile.npz": ((1, 64, 64), 6, 938, 0, 406),
}


def real_folder(name):
    """The data folder; the test is skipped where it does not hold the file of that name."""
    root = Path(os.environ.get("TUNEBENCH_DATA", "/nowhere"))
    if not (root / name.partition(":")[2]).is_file():
        pytest.skip(f"needs {name} in the folder that TUNEBENCH_DATA names")
    return root


@pytest.mark.parametrize("name", REAL)
def test_real_files(name):
    """The real data sets open from the data folder with their published sizes."""
    root = real_folder(name)
    shape, classes, train, valid, test = REAL[name]
    found = open_dataset(name, Place(root))
    assert (found.shape, found.classes, found.train_size) == (shape, classes, train)
    assert (len(found.train().y), len(found.test().y)) == (train + valid, test)
    if "tile" in name:
        assert {"MT_Crack", "MT_Fray"} <= set(found.class_names)


def test_a_part_of_a_real_archive(tmp_path):
    """Of CIFAR-10's 60,000 photographs every hundredth is opened: ten classes, in colour, each pixel as in the file."""
    path = real_folder("imagefolder:cifar10-jpeg.tar.gz") / "cifar10-jpeg.tar.gz"
    parts, kept = Counter(), {"train": [], "test": []}
    with tarfile.open(path) as whole, tarfile.open(tmp_path / "part.tar", "w") as part:
        for member in whole:
            if member.isfile():
                split = Path(member.name).parts[-3]
                if parts[split] % 100 == 0:
                    part.addfile(member, whole.extractfile(member))
                    kept[split].append((member.name, whole.extractfile(member).read()))
                parts[split] += 1
    assert parts == {"train": 50_000, "test": 10_000}
    found = open_dataset(f"imagefolder:{tmp_path}/part.tar", NOWHERE)
    assert (found.shape, found.classes, found.train_size) == ((3, 32, 32), 10, 500)
    assert {"airplane", "truck"} <= set(found.class_names)
    files = sorted(kept["test"])  # classes, and files in each, are numbered alike: no name has a number before its end
    assert [found.class_names[label] for label in found.test().y] == [Path(name).parts[-2] for name, _ in files]
    pixels = (found.test().x * found.std + found.mean) * 255
    images = [np.asarray(Image.open(io.BytesIO(content))).transpose(2, 0, 1) for _, content in files]
    assert np.array_equal(pixels.round().numpy(), np.stack(images))
