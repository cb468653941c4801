"""What a board's page says without being touched: why rows failed, who ties, what headings mean, how it was made."""

import html
import re
from dataclasses import replace

import pytest

from tunebench.boards import leaderboard, page
from tunebench.boards.comparison import Row
from tunebench.boards.page import words
from tunebench.glossary import column


@pytest.fixture(scope="module")
def board(digits_run):
    """The leaderboard of the real run."""
    return leaderboard.build(digits_run)


def cells_of(text: str, tuner: str) -> str:
    """The HTML of a tuner's first row."""
    return re.search(rf'<tr data-block="[^"]*" data-tuner="{tuner}">(.*?)</tr>', text, re.S)[1]


def failed(row: Row) -> Row:
    """A row that has no figures, and why."""
    kept = ("dataset", "model", "target", "target_name", "tuner", "seeds_planned")
    blank = dict.fromkeys(row) | {name: row[name] for name in kept}
    return blank | {"status": "timeout", "reason": "took more than 10m", "seeds": 0}


def test_a_row_says_why_it_failed_and_who_ties(board):
    """The status with its reason below it; letters of the tie group, behind no switch; no status where all are ok."""
    assert "timeout<small>" not in page.render(board)
    rows = [failed(row) if row["tuner"] == "cw-p" else row for row in board.rows]
    text = page.render(replace(board, rows=rows))
    assert "timeout<small>took more than 10m</small>" in cells_of(text, "cw-p")
    shown = cells_of(text, "logit-bias")
    group = next(row["group"] for row in rows if row["tuner"] == "logit-bias")
    assert re.search(rf'class="name" data-value="{group}">{group}<', shown)
    low, high = (next(row[name] for row in rows if row["tuner"] == "logit-bias") for name in ("ta_low", "ta_high"))
    assert f"<small>{100 * low:.2f} to {100 * high:.2f}</small>" in shown


def test_every_heading_says_what_it_means(board):
    """As a tooltip and in the list below the table, in the glossary's words."""
    text = page.render(board)
    pairs = re.findall(r'<button title="([^"]*)">([^<]*)</button>', text)
    found = {html.unescape(meaning): heading for meaning, heading in pairs}
    assert len(found) > 30
    for name in ("ta", "over_budget", "group", "certified", "latency_ratio", "ta_gain_shifted", "params"):
        entry = column(name)
        assert found[entry.text] == entry.heading, name
    assert f"<dt>over budget</dt><dd>{column('over_budget').text}</dd>" in html.unescape(text)


def test_many_names_are_counted():
    """A question of two dozen networks stays a sentence."""
    assert words.few(["a", "b"], "networks") == "a and b"
    assert words.few(["1"], "classes", "class ") == "class 1"
    assert words.few([str(n) for n in range(24)], "networks", "network ") == "24 networks"


def test_it_says_how_it_was_made(board):
    """The command, the protocol, the recipe of originals, versions, and the checksum of the data."""
    text = page.render(board)
    suite, lock = board.lock["suite"], board.lock
    assert "<code>tunebench run suite.toml -o OUT</code>" in text
    assert f"{suite['protocol']}, 2 seeds, 3 trials per search" in text
    assert f"torch {lock['inputs']['rest']['torch']}" in text
    ((name, digest),) = lock["data"].items()
    assert f"{name} {digest[:12]}" in text
