"""SECURITY.md's table of what was tried: the tests that it names are there, and hold as many inputs as it says."""

import ast
import math
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"\| ([^|(]+) \((\d+)\) \| ([^|]+) \| ([^|]+) \|")
ROWS = {place: (int(count), held) for place, count, _, held in ROW.findall((ROOT / "SECURITY.md").read_text("utf-8"))}
RECORDS, FOLDERS, OWN = "results/test_hostile_records.py", "datasets/test_folders.py", "own/test_hostile_files.py"
INPUTS = {
    "texts": {"test_naming.py": ["SHOWN"], "cli/test_output.py": ["PATHS"]},
    "tables": {
        "boards/test_tables.py": ["FORMULAS", "NOTES", "test_markdown_is_inert"],
        "own/test_certify_command.py": [
            "test_names_in_the_table_are_inert_and_come_back", "TAKEN",
        ],
    },
    "one record": {RECORDS: ["ALONE"]},
    "records together": {
        RECORDS: [
            "TOGETHER", "test_an_original_costs_the_same_in_all_cells", "test_where_no_half_agrees_none_is_counted",
            "test_files_of_other_runs_are_not_even_read",
        ]
    },
    "locks": {RECORDS: ["LOCKS"], "results/test_store.py": ["STRANGE_LOCKS"]},
    "files": {
        "results/test_store.py": [
            "NO_FILES", "test_flipped_bits_are_noticed", "test_truncated_files_are_noticed",
            "test_a_compressed_bomb_does_not_go_off",
        ],
        RECORDS: ["test_a_file_of_many_small_values_is_not_read"],
    },
    "links in OUT": {
        "results/test_folder.py": ["LINKS", "TUNE_LINKS", "test_a_deep_folder_is_not_searched_to_its_end"]
    },
    "own files": {
        "results/test_folder.py": [
            "FOREIGN", "MINE", "test_a_readme_is_foreign_to_the_paper", "test_what_is_set_aside_replaces_nothing",
            "test_the_umask_decides_who_may_read", "test_a_scratch_file_is_never_another_ones",
            "test_a_file_is_not_written_over_a_folder",
        ]
    },
    "images": {FOLDERS: ["HOSTILE"]},
    "folders of images": {
        FOLDERS: [
            "test_what_systems_leave_is_no_class", "test_an_image_that_is_not_read_is_told",
            "test_a_missing_part_is_told", "test_two_spellings_of_one_part_are_told",
            "test_names_in_two_unicode_forms_are_one", "test_pickles_beside_raw_files_are_refused",
            "test_a_file_in_place_of_a_folder_is_told", "test_the_own_networks_images_are_read_by_the_same_door",
        ]
    },
    "archives": {
        "datasets/test_archives.py": [
            "HOSTILE", "test_a_zip_is_read_with_the_same_care", "test_a_protected_zip_is_told",
            "test_the_size_of_an_archive_is_bounded", "test_a_damaged_archive_is_told",
        ]
    },
    "weights": {OWN: ["WEIGHTS"]},
    "programs": {OWN: ["PROGRAMS"]},
    "answers": {"own/test_hostile_answers.py": ["ANSWERS"]},
    "names of networks": {"networks/test_hostile_names.py": ["NAMES"]},
}  # fmt: skip
"""Row -> file -> the tables of inputs in it, and the tests that hold one input, or one for each of their parameters."""


def size(node, tables):
    """Number of entries of a literal, or of the table that a name stands for."""
    if isinstance(node, ast.Name):
        node = tables[node.id]
    return len(node.keys if isinstance(node, ast.Dict) else node.elts)


def inputs(file, name):
    """How many inputs the table or the test called ``name`` holds, counted in the source of ``file``."""
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    tables = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    if name in tables:
        uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]
        assert uses, f"no test of {file} uses {name}"
        return size(tables[name], tables)
    (test,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    marks = [mark for mark in test.decorator_list if "parametrize" in ast.unparse(mark)]
    return math.prod(size(mark.args[1], tables) for mark in marks)


def test_every_row_is_recounted():
    """None is left out, and none is recounted that is not there."""
    assert list(INPUTS) == list(ROWS)


@pytest.mark.parametrize("place", ROWS)
def test_every_row_names_the_tests_that_hold_it(place):
    """These files and no others; they are there, and pytest finds tests in them."""
    _, held = ROWS[place]
    files = re.findall(r"`tests/([^`]+\.py)`", held)
    assert files == list(INPUTS[place])
    for name in files:
        assert re.search(r"^def test_", (ROOT / "tests" / name).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("place", INPUTS)
def test_as_many_inputs_as_the_row_says(place):
    """Counted in the source of the tests."""
    assert ROWS[place][0] == sum(inputs(file, name) for file, names in INPUTS[place].items() for name in names)
