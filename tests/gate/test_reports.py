"""What a CI service shows: the Markdown summary and JUnit XML say what the terminal says."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tunebench import gate
from tunebench.gate.comparison import Change

TA, OA = gate.Limit.parse("ta:-0.5pt"), gate.Limit.parse("oa:-0.2pt")
PLACE = ("npz:a|b<c>\uffff.npz", "model1", "5", "smvt-sj")


@pytest.fixture
def failed():
    """A verdict with a regression, a change within its limit, a vanished row and a note."""
    return gate.Verdict(
        compared=2,
        checked=[(PLACE, TA), (PLACE, OA)],
        changes=[Change(PLACE, 1, TA, 0.9, 0.8, True), Change(PLACE, 0, OA, 0.95, 0.949, False)],
        lost=["cw-p on digits model1 class 5, seed 0 has vanished"],
        notes=["other software: torch: 1 -> 2"],
    )


def test_summary_is_markdown(failed):
    """The sum comes first, then a table in which names do no harm, then what is missing."""
    lines = gate.summary(failed).splitlines()
    assert lines[0] == "## gate failed: 2 cells compared, 2 figures changed, 2 regressed, 0 gaps"
    (regressed,) = [line for line in lines if "REGRESSED |" in line]
    assert "npz:a\\|b&lt;c&gt;" in regressed
    assert "-10.00pt" in regressed
    assert "- REGRESSED: cw-p on digits model1 class 5, seed 0 has vanished" in lines
    assert "- note: other software: torch: 1 -&gt; 2" in lines


def test_junit_counts_what_failed(failed):
    """A case for every row and limit and for what vanished; two of three fail, and the figures stand there."""
    suite = ElementTree.fromstring(gate.junit(failed))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "2", "0")
    ta, oa, vanished = suite.findall("testcase")
    assert ta.get("name") == "smvt-sj class 5 ta:-0.5pt"
    assert ta.get("classname") == "tunebench.npz:a|b<c>?.npz.model1"
    assert "seed 1, column ta, baseline 0.9, now 0.8" in ta.find("failure").get("message")
    assert oa.find("failure") is None
    assert "has vanished" in vanished.find("failure").text


def test_junit_tells_gaps_as_errors():
    """What cannot be compared is an error, not a failure."""
    suite = ElementTree.fromstring(gate.junit(gate.Verdict(gaps=["baseline incomplete: nothing there"])))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "1")


def test_both_files_are_written_beside_the_text(tunebench, digits_run, tmp_path):
    """The flags write files and change neither the text nor the exit code."""
    summary, junit = tmp_path / "summary.md", tmp_path / "gate.xml"
    plain = tunebench("gate", digits_run, "--baseline", digits_run)
    done = tunebench("gate", digits_run, "--baseline", digits_run, "--summary", summary, "--junit", junit)
    assert done == plain
    assert summary.read_text("utf-8").startswith("## gate passed: 10 cells compared")
    suite = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("10", "0")  # five tuners, two limits


def test_a_file_that_cannot_be_written_is_an_error(tunebench, digits_run, tmp_path):
    """A folder, or a path below a file, is refused in one line with exit code 2."""
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path, tmp_path / "file" / "gate.xml"):
        done = tunebench("gate", digits_run, "--baseline", digits_run, "--junit", path)
        assert done.code == 2
        assert str(path) in done.err
