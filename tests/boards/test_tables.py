"""Leaderboards as text: nothing lost, nothing that a name could inject."""

import csv
import io
import itertools
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tunebench.boards.leaderboard import COLUMNS, build
from tunebench.boards.tables import FILES, RENDERERS, render, write_files
from tunebench.plugins import load_registry

EVIL = "<script>alert(1)</script>|`x`[a](b)_%$#\n&"


@pytest.fixture(scope="module")
def board(digits_run):
    """The leaderboard of the real run."""
    return build(digits_run)


def test_files_that_are_no_text_are_written_anew(board, tmp_path):
    """What a board left half written, or somebody else wrote, does not end a finished run."""
    (tmp_path / FILES["json"]).write_bytes(b"\xff\xfe\xff")
    write_files(board, tmp_path)
    assert (tmp_path / FILES["json"]).read_text("utf-8") == render(board, "json")


@pytest.fixture
def evil(board):
    """The same with names and remarks that mean something to Markdown, HTML and LaTeX."""
    rows = [{**row, "tuner": EVIL, "dataset": EVIL, "status": EVIL, "rank": None} for row in board.rows]
    return replace(board, rows=rows, notes=[EVIL])


def test_csv_holds_every_figure(board):
    """Reading the CSV back gives the rows, with an empty field where there is no figure."""
    found = list(csv.DictReader(io.StringIO(render(board, "csv"))))
    assert list(found[0]) == list(COLUMNS)
    for text, row in zip(found, board.rows, strict=True):
        for name, value in row.items():
            if isinstance(value, float):
                assert float(text[name]) == value
            else:
                assert text[name] == ("" if value is None else str(value))


def test_json_holds_everything(board):
    """The JSON form has the contract's keys, the same rows, and no NaN."""
    content = json.loads(render(board, "json"), parse_constant=pytest.fail)
    assert content["schema"] == 1
    assert content["protocol"] == "holdout"
    assert content["rows"] == json.loads(json.dumps(board.rows))
    assert content["curves"]
    assert content["pairs"]


def test_the_table_fits_a_terminal(board):
    """80 columns are enough for the longest bundled name, every tuner has a line, and accuracies are in per cent."""
    longest = max(load_registry().tuners, key=len)
    rows = [{**row, "tuner": longest} if row["tuner"] == "random-synapses" else row for row in board.rows]
    board = replace(board, rows=rows)
    text = render(board, "table")
    assert max(map(len, text.splitlines())) <= 80
    for row in board.rows:
        line = next(line for line in text.splitlines() if f" {row['tuner']} " in line)
        assert f"{100 * row['ta']:.2f}" in line
        assert f"{100 * row['ta_gain']:+.2f}" in line


def test_the_table_always_shows_the_original(board):
    """Its TA and OA stand above the table, also where it is not among the tuners."""
    zero = next(row for row in board.rows if row["tuner"] == "original")
    rest = [row for row in board.rows if row is not zero]
    first = render(replace(board, rows=rest), "table").splitlines()[0]
    assert first.endswith(f"; original: TA {100 * zero['ta']:.2f} %, OA {100 * zero['oa']:.2f} %")


@pytest.mark.parametrize("kind", sorted(RENDERERS))
def test_every_format_names_every_tuner(board, kind):
    """No format leaves a row out."""
    text = render(board, kind).replace("\\", "")
    assert all(row["tuner"] in text for row in board.rows)


def test_markdown_is_inert(evil):
    """No name opens HTML, breaks a table row or becomes a link or a heading."""
    text = render(evil, "markdown")
    assert "<script>" not in text
    lines = [line.replace("\\|", "") if line.startswith("|") else "" for line in text.splitlines()]
    tables = [list(rows) for filled, rows in itertools.groupby(lines, key=bool) if filled]
    assert len(tables) >= 2
    assert all(len({row.count("|") for row in rows}) == 1 for rows in tables)
    assert "[a]" not in text.replace("\\[", "").replace("\\]", "")


def test_html_is_inert(evil):
    """Nothing but the page's own elements comes out of it: no name adds a script, a link or a heading."""

    def elements(board):
        found = Counter()
        parser = HTMLParser()
        parser.handle_starttag = lambda tag, attributes: found.update([tag])
        parser.feed(render(board, "html"))
        return found

    found = elements(evil)
    assert found["script"] == elements(replace(evil, notes=["calm"]))["script"] == 3
    assert found["td"] > len(evil.rows)
    assert not found["a"]


def test_latex_is_inert_and_complete(evil, board):
    """Each table has a caption, a label and its package; names are escaped."""
    text = render(board, "latex")
    assert "booktabs" in text.splitlines()[0]
    for part in (
        "\\begin{table}",
        "\\caption{digits model1, class",
        "\\label{tab:digits-model1-class-",
        "\\end{table}",
    ):
        assert text.count(part) == 1
    assert max(len(line) for line in text.splitlines() if line.endswith("\\\\")) < 90
    names = [line for line in render(evil, "latex").splitlines() if line.startswith(("\\caption", " "))]
    assert not re.search(r"(?<!\\)[%$#&_](?! )", names[0])


def test_a_row_without_a_result_shows_its_status(board):
    """Where there is no rank the status stands in its place, and no figure."""
    rows = [
        {
            **dict.fromkeys(COLUMNS),
            "dataset": "d",
            "model": "m",
            "target": "1",
            "target_name": "ankle boot",
            "tuner": "t",
            "status": "timeout",
            "reason": "took longer",
        }
    ]
    text = render(replace(board, rows=rows), "table")
    assert "timeout" in text
    assert "t: timeout: took longer" in text
    assert "d m, class ankle boot" in text
    assert "None" not in text
    assert "nan" not in text


def test_files_are_written(board, tmp_path):
    """CSV, JSON, Markdown and the page appear under their names with the rendered content."""
    write_files(board, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES.values())
    assert (tmp_path / "leaderboard.csv").read_text("utf-8") == render(board, "csv")
    assert (tmp_path / "leaderboard.md").read_text("utf-8") == render(board, "markdown")


def test_a_page_is_made_again_when_its_figures_change(board, tmp_path):
    """It stays while they are the same, and not a moment longer."""
    write_files(board, tmp_path)
    (tmp_path / "index.html").write_text("as before")
    write_files(board, tmp_path)
    assert (tmp_path / "index.html").read_text("utf-8") == "as before"
    write_files(replace(board, notes=["changed"]), tmp_path)
    assert (tmp_path / "index.html").read_text("utf-8").startswith("<!doctype html>")


FORMULAS = {"dataset": "=1+1", "model": "+2", "tuner": "-x", "target_name": "@sum", "reason": "\t=cmd|' /C calc'!A0"}


def test_csv_starts_no_formula_and_keeps_numbers(board):
    """Texts that a spreadsheet would compute get an apostrophe; figures are the same as before."""
    rows = [{**row, **FORMULAS, "ta_gain": -0.25} for row in board.rows]
    found = list(csv.DictReader(io.StringIO(render(replace(board, rows=rows), "csv"))))
    for row in found:
        assert {name: row[name] for name in FORMULAS if name in row} == {
            name: "'" + text for name, text in FORMULAS.items() if name in row
        }
        assert float(row["ta_gain"]) == -0.25


NOTES = ["calm\n\\input{/etc/passwd}", "calm\n# Heading", "\u202eknil"]


@pytest.mark.parametrize("note", NOTES)
def test_notes_stay_on_their_line(board, note):
    """A remark with line ends cannot leave a LaTeX comment, nor start a line of Markdown, nor turn a line around."""
    hostile = replace(board, notes=[note])
    for line in render(hostile, "latex").splitlines():
        assert line.startswith("%") or "passwd" not in line
    assert "\n# Heading" not in render(hostile, "markdown")
    for kind in ("latex", "markdown", "table", "html"):
        assert "\u202e" not in render(hostile, kind)
