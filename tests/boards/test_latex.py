"""Tables in a real paper: every board compiles, fits a column, and needs no package that it does not name."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tunebench.boards.leaderboard import build
from tunebench.boards.tables import render

ENGINE = shutil.which("pdflatex")
BOARDS = Path(__file__).parents[2] / "leaderboards"
NAMES = ("sj_k5 100 % #1", "{a}~b^c\\d", "Žluťoučký Ærø naïve", "日本 αβγ ą", "a-tuner-with-a-very-long-name-" * 3)
"""What a tuner, a class or a data set may be called: signs that act, accents, other scripts, no room."""

needs_latex = pytest.mark.skipif(
    ENGINE is None, reason="needs LaTeX: apt-get install texlive-latex-base texlive-latex-recommended"
)


def compiled(text: str, folder: Path) -> str:
    """The log of a two-column article with nothing in it but ``text`` and the packages of its first line."""
    (folder / "table.tex").write_text(text, encoding="utf-8")
    packages = text.splitlines()[0].removeprefix("% needs ")
    lines = ("\\documentclass[twocolumn]{article}", packages, "\\begin{document}", "\\input{table}", "\\end{document}")
    (folder / "paper.tex").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for _ in range(2):  # the second time labels are known
        done = subprocess.run(
            [ENGINE, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"], cwd=folder, capture_output=True
        )
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    return (folder / "paper.log").read_text("utf-8", errors="replace")


def faults(log: str) -> list[str]:
    """Lines of a log that tell of text beside its column by more than a point, or of a warning."""
    wide = re.findall(r"Overfull \\hbox \(([0-9.]+)pt too wide\).*", log)
    return [f"{points} pt too wide" for points in wide if float(points) > 1] + re.findall(r"LaTeX Warning: .*", log)


@needs_latex
@pytest.mark.parametrize("name", ["digits", "light"])
def test_a_published_board_fits_a_column(name, tmp_path):
    """It compiles with the packages that it names, and no table is wider than a column of an article."""
    assert faults(compiled(render(build(BOARDS / name), "latex"), tmp_path)) == []


@needs_latex
def test_any_name_compiles(digits_run, tmp_path):
    """Names that act, in other scripts, or wider than the column: each is set, and labels stay apart."""
    board = build(digits_run)
    rows = [
        {**row, "tuner": tuner, "dataset": place, "target_name": place, "status": "err_or", "rank": None}
        for place in NAMES
        for row, tuner in zip(board.rows, NAMES, strict=True)
    ]
    text = render(replace(board, rows=rows, notes=["50 % of\ncells", "日本"]), "latex")
    assert faults(compiled(text, tmp_path)) == []
    assert len(set(re.findall(r"\\label\{.*\}", text))) == len(NAMES)
    assert "U+65E5U+672C" in text


def test_a_loss_has_a_minus(digits_run):
    """Not a hyphen, in any cell; names keep theirs."""
    board = build(digits_run)
    text = render(replace(board, rows=[{**row, "oa_gain": -0.0125} for row in board.rows]), "latex")
    assert text.count("$-$1.25") == len(board.rows)
    assert "random-synapses" in text
