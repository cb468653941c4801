"""The glossary: nothing that a reader meets in a table, a file or a help text is missing from it."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest

import tunebench
from tunebench import glossary
from tunebench.boards import leaderboard
from tunebench.boards.chart_data import COSTS
from tunebench.boards.leaderboard import COLUMNS
from tunebench.boards.page import own
from tunebench.boards.page.table import DECIDING
from tunebench.boards.tables import INTERPOLATED, LATEX, LONG, PROMISED, SHORT, render
from tunebench.cli.explain_command import every_option
from tunebench.own import report
from tunebench.results.cells import STATUSES, UNDONE

PAGE = Path(__file__).parents[1] / "docs" / "glossary.md"
BOARD = PAGE.parents[1] / "leaderboards" / "digits"


@pytest.mark.parametrize("name", sorted({*COLUMNS, *LONG, *SHORT, *LATEX, *PROMISED, *INTERPOLATED, *DECIDING, *COSTS}))
def test_every_column_is_in_it(name):
    """Each column of the CSV and of the tables has a heading and a meaning."""
    entry = glossary.column(name)
    assert entry.heading
    assert entry.text.endswith(".")


def test_a_column_that_nobody_described_is_noticed():
    """A name without an entry has no heading to be shown under."""
    for name in ("luck", "luck_shifted", "ta_gain_lucky"):
        with pytest.raises(KeyError):
            glossary.column(name)


def headings(markdown):
    """What stands above the columns of all tables of a page."""
    lines = markdown.splitlines()
    above = [line for line, next_line in itertools.pairwise(lines) if re.match(r"\|[:-]", next_line)]
    return {cell.strip() for line in above for cell in line.strip("|").split("|")} - {"", "#"}


def test_every_heading_is_in_it(digits_run):
    """Of all tables of a run and of a published board with certificates, as Markdown."""
    shown = [render(leaderboard.build(run), "markdown") for run in (digits_run, BOARD)]
    found = set.union(*map(headings, shown))
    assert {"behind", "ahead in", "refuted", "DOT-RV", "fell", "certified OA"} <= found
    assert [name for name in sorted(found) if not glossary.lookup(name)] == []


def test_every_column_of_a_notebook_is_in_it(digits_run):
    """Those of `tunebench.load`, which are those of leaderboard.json."""
    run = tunebench.load(digits_run)
    assert list(run.predictions("of no variant")) == list(run.predictions())
    tables = (run.rows, run.curves, run.contrasts, run.pairs, run.classes, run.predictions())
    found = {name for table in tables for name in table.columns}
    assert len(found) > 60
    assert [name for name in sorted(found) if not glossary.lookup(name)] == []


def test_every_heading_of_tune_is_in_it():
    """On its page and in the terminal."""
    assert [heading.name for heading in own.HEADINGS.values() if not glossary.lookup(heading.name)] == []
    assert [name for name in report.HEADERS if name and not glossary.lookup(name)] == []


def test_every_status_is_in_it():
    """Those of cells, the one of a row without any, and what a run counts that nothing could compute."""
    assert set(glossary.entries()["statuses"]) == {*STATUSES, "missing", UNDONE}


def test_every_option_has_a_meaning(tunebench):
    """Each option of each command says what it is for, on the page too, and `explain` finds it by its long name."""
    found = list(every_option())
    assert len({command for command, _ in found}) > 5
    for command, option in found:
        assert option.help, f"tunebench {command} {option.opts[0]} says nothing"
        assert all(f"`{name}`" in PAGE.read_text("utf-8") for name in option.opts)
    done = tunebench("explain", "--baseline")
    assert done.out.startswith("tunebench gate --baseline: ")


@pytest.mark.parametrize("section", glossary.SECTIONS)
def test_meanings_are_sentences(section):
    """Each starts with a capital letter or a code word, ends with a full stop, and has no line of its own."""
    for entry in glossary.entries()[section].values():
        assert entry.text[0].isupper() or entry.text[0] == "`", entry.name
        assert entry.text.endswith("."), entry.name
        assert "\n" not in entry.text


def test_units_exist():
    """A column's unit is one that tables can show."""
    source = tomllib.loads((Path(glossary.__file__).parent / "glossary.toml").read_text("utf-8"))
    assert {fields["unit"] for fields in source["columns"].values()} <= set(glossary.UNITS)


def test_a_variant_explains_its_columns():
    """A column of a variant is derived: heading, unit and meaning, for those that boards do not have yet too."""
    certified = glossary.column("oa_gain_certified")
    assert (certified.heading, certified.unit) == ("certified OA", "points")
    assert certified.text.endswith("Variant: certified.")
    assert ("certified", glossary.entries()["variants"]["certified"].text) in glossary.legend(["oa_gain_certified"])
    assert glossary.column("ta_gain_shifted").heading == "shifted"
    assert glossary.column("rank_shifted").heading == "shifted #"
    assert "oa_gain_certified" in [entry.name for entry in glossary.lookup("certified OA")]
    with pytest.raises(KeyError):
        glossary.column("luck_shifted")


@pytest.mark.parametrize(
    ("unit", "value", "shown"),
    [("percent", 0.93456, "93.46"), ("points", -0.0012, "-0.12"), ("share", 0.5, "50 %"), ("count", 85614.0, "85,614"),
     ("ratio", 1.004, "1.00x"), ("scientific", 2.433e-5, "2.4e-05")],
)  # fmt: skip
def test_values_are_shown_in_their_unit(unit, value, shown):
    """Fractions become per cent or signed points, counts get separators."""
    assert glossary.UNITS[unit][1](value) == shown


def test_the_page_is_made_from_it(tunebench):
    """docs/glossary.md is what the command prints; make it again with: tunebench explain --markdown."""
    assert PAGE.read_text("utf-8") == tunebench("explain", "--markdown").out


@pytest.mark.parametrize(
    ("words", "start"),
    [(["ta"], "TA: Recall of the class"), (["over", "budget"], "over_budget: column"), (["Recall"], "TA: "),
     (["timeout"], "timeout: status"), (["smvt-sj"], "smvt-sj: tuner. Synaptic join"),
     (["area_shifted"], "area_shifted: column"), (["refuted"], "refuted: Of those")],
)  # fmt: skip
def test_explain_finds_any_spelling(tunebench, words, start):
    """Letter case, spaces for underscores, other names and headings all lead to the entry."""
    done = tunebench("explain", *words)
    assert done.out.startswith(start), done.err


def test_explain_lists_and_suggests(tunebench):
    """Without a word it lists what it knows; for a word that it does not know it names the nearest."""
    assert {"TA", "over_budget", "--budget", "skipped"} <= set(tunebench("explain").out.splitlines())
    done = tunebench("explain", "over-buget")
    assert done.code == 2
    assert "did you mean over_budget" in done.err
