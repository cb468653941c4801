"""SECURITY.md's table of what was tried: the tests that it names are there, and hold as many inputs as it says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"\| ([^|(]+) \((\d+)\) \| ([^|]+) \| ([^|]+) \|")
ROWS = {place: (int(count), held) for place, count, _, held in ROW.findall((ROOT / "SECURITY.md").read_text("utf-8"))}
TABLES = {
    "one record": ("results/test_hostile_records.py", ("ALONE",), 0),
    "locks": ("results/test_hostile_records.py", ("LOCKS",), 0),
    "links in OUT": ("results/test_folder.py", ("LINKS",), 1),
    "own files": ("results/test_folder.py", ("FOREIGN", "MINE"), 3),
    "images": ("datasets/test_folders.py", ("HOSTILE",), 0),
    "archives": ("datasets/test_archives.py", ("HOSTILE",), 6),
}
"""Row -> the file, the tables of inputs in it, and how many inputs more have a test of their own."""


@pytest.mark.parametrize("place", ROWS)
def test_every_row_is_held_by_tests_that_are_there(place):
    """With functions that pytest finds."""
    _, held = ROWS[place]
    files = re.findall(r"`([^`]+\.py)`", held)
    assert files
    for name in files:
        (path,) = [path for path in (ROOT / "tests").rglob(Path(name).name) if str(path).endswith(name)]
        assert re.search(r"^def test_", path.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("place", TABLES)
def test_as_many_inputs_as_the_row_says(place):
    """Counted in the source of the tests."""
    file, names, more = TABLES[place]
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id in names]
    assert len(tables) == len(names)
    assert ROWS[place][0] == more + sum(len(t.keys if isinstance(t, ast.Dict) else t.elts) for t in tables)


def test_fifty_and_more():
    """Of which none got through."""
    assert sum(count for count, _ in ROWS.values()) >= 150
