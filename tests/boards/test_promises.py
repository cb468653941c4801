"""Certificates on a board, from hand-made records, and a floor of TA through a whole run."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tunebench.boards.leaderboard import build
from tunebench.boards.overall import opening
from tunebench.boards.promises import certified_figures, churn, kept, leading, promises, shortage
from tunebench.results.predictions import pack
from tunebench.results.store import Store

N = 10_000
PROMISE = {"confidence": 0.9, "bound": 0.004, "samples": 7500, "lost": 9, "gained": 3, "hits": 700}


def record(lost, promise=PROMISE):
    """A network that loses ``lost`` of 10,000 test samples and changes as many wrong ones for other wrong ones."""
    labels = np.zeros(N, dtype=int)
    original = labels.copy()
    original[:500] = 1
    tuned = original.copy()
    tuned[500 : 500 + lost] = 2
    tuned[:lost] = 2
    point = {"certificate": promise, "predictions": pack(tuned, original)}
    points = {variant: {"0.5": point} for variant in ("plain", "certified")}
    return {"labels": pack(labels, labels), "predictions": pack(original, labels), "points": points}


def test_a_certificate_is_refuted_beyond_doubt_only():
    """60 lost of 10,000 exceed half a point by chance, 100 do not; records without a certificate do not count."""
    assert certified_figures([record(60), record(0)], "0.5") == {"certified": 1.0, "violated": 0.0}
    assert certified_figures([record(100), record(0), record(200, None)], "0.5") == {
        "certified": pytest.approx(2 / 3),
        "violated": 0.5,
    }
    assert certified_figures([record(200, None)], "0.5") == {"certified": 0.0}


def test_boards_from_before_have_none():
    """A record without the variant gives no figure."""
    old = record(60)
    del old["points"]["certified"]
    assert certified_figures([record(60), old], "0.5") == {}


def test_a_board_says_how_many_samples_are_missing():
    """Cells without a certificate are counted, with the middle of what those lack that more samples can help."""
    cells = [
        record(60) | {"status": "ok"},
        *(record(60, None) | {"status": "ok"} for _ in range(4)),
        {"status": "error"},
    ]
    for cell, missing in zip(cells[1:5], (None, 100, 1200, 90_000), strict=True):
        cell["points"]["certified"]["0.5"]["missing"] = missing
    (note,) = shortage(cells, "0.5")
    assert note == "no certificate in 4 of 5 cells; of the 3 that samples can help, half need 1,200 more on validation"
    assert shortage(cells[:1], "0.5") == []


def test_churn_counts_every_change():
    """Changes that cost or gain nothing count too."""
    assert churn([record(60), record(0)], "0.5") == pytest.approx(60 / N)


def curve(tuner, variant, gain, **more):
    """A row of curves."""
    place = {"dataset": "d", "model": "m", "target": "1", "budget": 0.5, "oa_loss": 0.001, "over_budget": 0.0}
    return place | {"tuner": tuner, "variant": variant, "ta_gain": gain} | more


def test_the_best_promise_is_the_highest_certified_gain():
    """A larger plain gain does not help; where nothing is certified there is no tuner."""
    sure, bold = {"certified": 1.0, "violated": 0.0}, {"certified": 0.5, "violated": None}
    curves = [
        curve("sure", "plain", 0.04), curve("sure", "certified", 0.03, **sure),
        curve("bold", "plain", 0.09), curve("bold", "certified", 0.01, **bold),
    ]  # fmt: skip
    (line,) = promises(curves)
    assert (line["tuner"], line["ta_gain"], line["plain_gain"], line["certified"]) == ("sure", 0.03, 0.04, 1.0)
    nothing = [c | {"certified": 0.0, "violated": None} for c in curves]
    assert promises(nothing)[0]["tuner"] == "none"
    assert promises([c for c in curves if c["variant"] == "plain"]) == []


def test_tuners_stand_by_what_they_promise():
    """Highest certified gain first, whatever the plain ones are; who lacks a block takes no part."""
    sure = {"certified": 1.0, "violated": 0.0}
    curves = [
        curve(name, variant, gain, **(sure if variant == "certified" else {}))
        for name, plain, certified in (("a", 0.09, 0.01), ("b", 0.03, 0.02), ("c", 0.05, 0.04))
        for variant, gain in (("plain", plain), ("certified", certified))
    ]
    assert [line["tuner"] for line in leading(curves)] == ["c", "b", "a"]
    other = [c | {"target": "2"} for c in curves if c["tuner"] != "c"]
    assert [line["tuner"] for line in leading([*curves, *other])] == ["b", "a"]


@pytest.mark.parametrize(("refuted", "likely"), [(0, True), (3, True), (12, False)])
def test_certificates_are_held_against_test(refuted, likely):
    """Refuted certificates are compatible with an error of 10 % of all networks until they are clearly more."""
    seeds, tuners = 4, 10
    curves = []
    for i in range(tuners):
        share = min(max(refuted - seeds * i, 0), seeds) / seeds
        more = {"certified": 1.0, "violated": share} if i < tuners - 1 else {"certified": 0.0, "violated": None}
        curves += [curve(f"t{i}", "plain", 0.03), curve(f"t{i}", "certified", 0.02, **more)]
    (line,) = kept(curves, seeds, 0.1)
    assert (line["networks"], line["certified"], line["refuted"]) == (40, 36, refuted)
    assert (line["p"] > 0.05) is likely
    assert line["p"] == pytest.approx(stats.binom.sf(refuted - 1, 40, 0.1))
    assert line["ta_gain"] / line["plain_gain"] == pytest.approx(2 / 3)
    assert kept([c for c in curves if c["variant"] == "plain"], seeds, 0.1) == []


def test_a_board_opens_with_what_can_be_promised(digits_run):
    """Without any certificate there is neither a promise for half a point nor an empty table; with some there is."""
    board = build(digits_run)
    text = opening(board)
    assert "## Are certificates kept?" in text
    assert ("half a point" in text) == any(c["budget"] == 0.5 and c.get("certified") for c in board.curves)
    sure = [c | ({"certified": 1.0, "violated": 0.0} if c["variant"] == "certified" else {}) for c in board.curves]
    part = opening(replace(board, curves=sure)).split("## What you can promise for half a point")[1].split("\n## ")[0]
    assert sum(line.startswith("| ") for line in part.splitlines()) == 1 + len(board.rows)
    assert "90%" in part


def test_a_confidence_is_not_rounded_up(digits_run):
    """Three digits of it are three: 99.5 % promises less than 100 %, and lets 0.5 % of networks be false."""
    board = build(digits_run)
    sure = [c | ({"certified": 1.0, "violated": 0.0} if c["variant"] == "certified" else {}) for c in board.curves]
    lock = {**board.lock, "suite": {**board.lock["suite"], "confidence": 0.995}}
    text = opening(replace(board, curves=sure, lock=lock))
    assert text.count("with 99.5% confidence") == 2
    assert "At most 0.5% of all networks" in text


def test_a_run_with_a_floor(tunebench, tmp_path):
    """--recall: rows are at the floor, the budgets' curves stay, and a floor outside (0, 1) is refused."""
    out = tmp_path / "run"
    flags = ("-d", "digits", "-m", "model1", "-t", "logit-bias", "--seeds", "1", "--trials", "2", "-q", "-j", "1")
    done = tunebench("run", *flags, "--recall", "0.9", "--confidence", "0.8", "-o", out)
    assert done.code == 0, done.err
    store = Store(out)
    ((cell, _),) = store.cells()
    points = store.get("cells", cell)["points"]
    assert set(points) == {"plain", "shifted", "interpolated", "certified"}
    (row,) = build(out).rows
    assert row["ta"] == points["plain"]["recall 0.9"]["test"]["ta"]
    assert row["over_budget"] == float(row["ta"] < 0.9)
    assert row["certified"] == float(points["certified"]["recall 0.9"]["certificate"] is not None)
    assert {c["budget"] for c in build(out).curves} == {0.0, 0.1, 0.2, 0.5, 1.0}
    assert "recall is 1.5" in tunebench("run", *flags, "--recall", "1.5", "-o", tmp_path / "no").err
