"""Folders of images as people and systems leave them: understood, or told."""

from __future__ import annotations

import os
import socket
import unicodedata

import numpy as np
import pytest
from PIL import Image
from small_files import NOWHERE, failure, write_images, write_mnist

from tunebench import DataError
from tunebench.datasets import Place, open_dataset
from tunebench.datasets.images import FORMATS
from tunebench.own.data import Inputs, images

CLASSES = {"ant": 5, "bee": 5}


def opened(folder):
    """The data set of a folder."""
    return open_dataset(f"imagefolder:{folder}", NOWHERE)


@pytest.mark.parametrize(
    ("train", "test"),
    [("Training", "Testing"), ("TRAIN", "Test"), ("train_set", "test_set"), ("Training Data", "testing-data")],
)
def test_parts_by_other_spellings(tmp_path, train, test):
    """Kaggle's Training/ and Testing/ are parts, no classes."""
    write_images(tmp_path / train, CLASSES)
    write_images(tmp_path / test, {"bee": 2})
    dataset = opened(tmp_path)
    assert dataset.class_names == ("ant", "bee")
    assert dataset.test().y.tolist() == [1, 1]


@pytest.mark.parametrize("name", ["val", "Valid", "validation", "dev_set"])
def test_a_validation_part_is_one(tmp_path, name):
    """It is not left out, and a class of it that train lacks is told."""
    write_images(tmp_path / "train", CLASSES)
    write_images(tmp_path / "test", CLASSES)
    write_images(tmp_path / name, {"ant": 2})
    dataset = opened(tmp_path)
    assert (dataset.train_size, len(dataset.train().y), dataset.train().valid_from) == (10, 12, 10)
    write_images(tmp_path / name, {"fly": 1})
    assert "no class 'fly' in train" in failure(f"imagefolder:{tmp_path}", NOWHERE)


@pytest.mark.parametrize(("parts", "told"), [(("train", "val"), "counterpart test/"), (("Testing",), "train/")])
def test_a_missing_part_is_told(tmp_path, parts, told):
    """Which one there is, and which is not."""
    for part in parts:
        write_images(tmp_path / part, CLASSES)
    text = failure(f"imagefolder:{tmp_path}", NOWHERE)
    assert told in text
    assert f"{parts[0]}/" in text


def test_two_spellings_of_one_part_are_told(tmp_path):
    """train/ and Training/ side by side: one of them would be left out."""
    for part in ("train", "Training", "test"):
        write_images(tmp_path / part, CLASSES)
    assert "both train" in failure(f"imagefolder:{tmp_path}", NOWHERE)


@pytest.mark.parametrize("name", [".ipynb_checkpoints", ".git", "__MACOSX", "@eaDir", ".Trash-1000", "lost+found"])
def test_what_systems_leave_is_no_class(tmp_path, name):
    """Neither beside the classes, nor inside one, nor as files of the same suffix."""
    write_images(tmp_path, CLASSES)
    before = opened(tmp_path)
    write_images(tmp_path / name, {"copy": 3})
    write_images(tmp_path / "ant" / name, {"copy": 3})
    (tmp_path / "ant" / "._0.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "ant" / "Thumbs.db").write_bytes(b"x")
    after = opened(tmp_path)
    assert (after.class_names, after.checksum) == (before.class_names, before.checksum)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".tiff", ".bmp", ".jfif", ".PNG", ".pnm"])
def test_every_format_is_read_beside_png(tmp_path, suffix):
    """A .gif among .png is an image of its class."""
    write_images(tmp_path, CLASSES)
    picture = Image.new("L", (6, 4), 77)
    picture.save(tmp_path / "ant" / f"odd{suffix}", format=FORMATS[suffix.casefold()])
    assert opened(tmp_path).train_size + len(opened(tmp_path).test().y) == 11


@pytest.mark.parametrize("suffix", [".heic", ".avif", ".svg", ".eps", ".pdf", ".jp2"])
def test_an_image_that_is_not_read_is_told(tmp_path, suffix):
    """It is not left out in silence."""
    write_images(tmp_path, CLASSES)
    (tmp_path / "ant" / f"odd{suffix}").write_bytes(b"x")
    assert f"odd{suffix}: {suffix} is not read" in failure(f"imagefolder:{tmp_path}", NOWHERE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path, orientation):
    """By their EXIF tag, whichever of the eight it is: the same pixels as the upright image's."""
    upright = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) * 5)
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # of a transposition that the tag undoes
    stored = upright if orientation == 1 else upright.transpose(turn[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    for part in ("train", "test"):
        write_images(tmp_path / part, {"bee": 2}, size=(8, 6))
        (tmp_path / part / "ant").mkdir()
        stored.save(tmp_path / part / "ant" / "a.png", exif=exif)
    dataset = opened(tmp_path)
    assert dataset.shape == (1, 6, 8)
    pixels = (dataset.test().x[0, 0] * dataset.std + dataset.mean) * 255
    assert np.array_equal(pixels.round().numpy(), np.asarray(upright))


def test_names_in_two_unicode_forms_are_one(tmp_path):
    """macOS writes e and an accent where Linux writes one letter; inside one part they are told."""
    composed, decomposed = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    write_images(tmp_path / "train", {composed: 3, "tea": 3})
    write_images(tmp_path / "test", {decomposed: 2})
    dataset = opened(tmp_path)
    assert (dataset.class_names, dataset.test().y.tolist()) == ((composed, "tea"), [0, 0])
    write_images(tmp_path / "train", {decomposed: 1})
    assert "two folders called" in failure(f"imagefolder:{tmp_path}", NOWHERE)


def test_images_in_folders_of_a_class_belong_to_it(tmp_path):
    """As do links to images and to folders of images elsewhere."""
    write_images(tmp_path / "data", CLASSES)
    write_images(tmp_path / "data" / "ant", {"more": 2})
    write_images(tmp_path / "elsewhere", {"x": 3})
    (tmp_path / "data" / "ant" / "linked").symlink_to(tmp_path / "elsewhere" / "x")
    (tmp_path / "data" / "bee" / "linked.png").symlink_to(tmp_path / "elsewhere" / "x" / "0.png")
    dataset = opened(tmp_path / "data")
    assert (dataset.train().y.bincount() + dataset.test().y.bincount()).tolist() == [10, 6]


def encapsulated(path):
    """An image in PostScript, which Pillow hands to a program."""
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n(x) run\nshowpage\n%%EOF\n")


def animated(path, kind):
    """Three frames in one file."""
    frames = [Image.new("L", (6, 4), k) for k in (1, 90, 200)]
    frames[0].save(path, format=kind, save_all=True, append_images=frames[1:])


def huge(path):
    """A header that promises 2**60 pixels."""
    path.write_bytes(b"P5 1073741824 1073741824 255\n" + bytes(99))


HOSTILE = {
    "an EPS": ("x.png", encapsulated, "no readable image"),
    "an EPS as a photograph": ("x.jpg", encapsulated, "no readable image"),
    "a GIF of another suffix": ("x.png", lambda p: Image.new("L", (6, 4)).save(p, "GIF"), "it is GIF; rename it"),
    "a photograph of another suffix": ("x.bmp", lambda p: Image.new("L", (6, 4)).save(p, "JPEG"), "it is JPEG"),
    "an icon": ("x.png", lambda p: Image.new("L", (16, 16)).save(p, "ICO"), "no readable image"),
    "a pipe": ("x.png", os.mkfifo, "no regular file"),
    "a socket": ("x.gif", lambda p: bound(p), "no regular file"),
    "a device": ("x.jpg", lambda p: p.symlink_to("/dev/zero"), "no regular file"),
    "a link to itself": ("x.png", lambda p: p.symlink_to(p), "cannot be read"),
    "a link to nothing": ("x.png", lambda p: p.symlink_to(p.parent / "gone"), "no readable image"),
    "a link to its class": ("x", lambda p: p.symlink_to(p.parent), "leads back"),
    "a link to all classes": ("x", lambda p: p.symlink_to(p.parent.parent), "leads back"),
    "a link to the root": ("deep", lambda p: (p.mkdir(), (p / "up").symlink_to(p.parent.parent)), "leads back"),
    "an animation": ("x.gif", lambda p: animated(p, "GIF"), "holds 3 images"),
    "an animated PNG": ("x.png", lambda p: animated(p, "PNG"), "holds 3 images"),
    "pages": ("x.tif", lambda p: animated(p, "TIFF"), "holds 3 images"),
    "a bomb": ("x.pgm", huge, "no readable image"),
    "a bomb of 100 million": ("x.pgm", lambda p: p.write_bytes(b"P5 10000 10000 255\n"), "no readable image"),
    "half a file": ("x.png", lambda p: p.write_bytes(p.with_name("0.png").read_bytes()[:45]), "no readable image"),
    "a name with a control": ("x\x1b[2J.png", lambda p: p.write_bytes(b"x"), "no readable image"),
    "a name that is no UTF-8": ("x\udce9.png", lambda p: p.write_bytes(b"x"), "no readable image"),
}
"""Name of a file in a class, what makes it, and what the error says."""


def bound(path):
    """A socket at ``path``."""
    os.chdir(path.parent)  # its own path may be too long for one
    socket.socket(socket.AF_UNIX).bind(path.name)


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_named(tmp_path, monkeypatch, case):
    """At once, in one line, and nothing is run or waited for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    name, make, told = HOSTILE[case]
    write_images(tmp_path, CLASSES)
    make(tmp_path / "ant" / name)
    text = failure(f"imagefolder:{tmp_path}", NOWHERE)
    assert told in text
    assert str(tmp_path / "ant") in text


def test_the_own_networks_images_are_read_by_the_same_door(tmp_path):
    """`tunebench tune` names the pipe too, and does not wait for it."""
    write_images(tmp_path, CLASSES)
    os.mkfifo(tmp_path / "ant" / "x.png")
    with pytest.raises(DataError, match="no regular file"):
        images(tmp_path, Inputs())


@pytest.mark.parametrize("name", ["training.pt", "test.pt"])
@pytest.mark.parametrize("kind", ["MNIST", "FashionMNIST"])
def test_pickles_beside_raw_files_are_refused(tmp_path, kind, name):
    """An old torchvision's processed/*.pt would be loaded in their place, and a pickle runs code."""
    write_mnist(tmp_path, kind)
    (tmp_path / kind / "processed").mkdir()
    (tmp_path / kind / "processed" / name).write_bytes(b"x")
    dataset = {"MNIST": "mnist", "FashionMNIST": "fashion-mnist"}[kind]
    assert f"{name} is a pickle" in failure(dataset, Place(tmp_path))


def test_a_file_in_place_of_a_folder_is_told(tmp_path):
    """It is neither a folder nor an archive of one."""
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    assert "is a file, and no tar or zip archive" in failure(f"imagefolder:{tmp_path}/a.tar.gz", NOWHERE)
