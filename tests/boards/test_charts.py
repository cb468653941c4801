"""Charts: their rows are the board's figures, and files are drawn from them."""

import numpy as np
import pandas
import pytest

from tunebench.boards import chart_data, charts, details, leaderboard, page, plots
from tunebench.results.predictions import predictions_of
from tunebench.results.store import Store


@pytest.fixture(scope="module")
def board(digits_run):
    """The leaderboard of the real run."""
    return leaderboard.build(digits_run)


@pytest.fixture(scope="module")
def tables(board):
    """The rows of all its charts."""
    return chart_data.tables(board)


def test_every_chart_has_rows_and_every_column_is_known(tables):
    """Blocks and tuners of the board, and variants where they differ, and a chart for each table."""
    assert list(tables) == list(charts.CHARTS)
    for name, table in tables.items():
        assert {"block", "tuner", "shade", "series"} <= set(table.columns), name
        assert ("variant" in table) == (name != "searches")
        assert len(set(table["tuner"])) == 5, name


def test_change_of_the_target_is_its_gain(tables, board):
    """The heat map's cell of the target class is the row's TA gain; missed shares are those of the predictions."""
    for row in board.rows:
        mine = tables["classes"].query("tuner == @row['tuner'] and variant == 'plain'").set_index("class")["value"]
        assert mine[int(row["target"])] == pytest.approx(100 * row["ta_gain"], abs=1e-3)
    store = Store(board.out)
    cell = next(cell for cell, _ in store.cells() if cell.tuner == "original")
    labels, _, tuned = predictions_of(store.get("cells", cell), "plain", "1.0")
    lost = 100 * np.mean(tuned[labels == int(cell.target)] != int(cell.target))
    shares = list(details.by_class(("d", "m", cell.target), [store.get("cells", cell)], "plain", "1.0"))
    assert sum(share["value"] for share in shares if share["missed"]) == pytest.approx(lost, abs=0.02)


def test_gains_stand_against_every_cost(tables, board):
    """Latency, bytes, parameters, operations and seconds; sizes are those of the variant's own network."""
    costs = tables["costs"]
    assert set(costs["kind"]) == set(chart_data.COSTS)
    store = Store(board.out)
    records = [store.get("cells", cell) for cell, _ in store.cells() if cell.tuner == "cw-p"]
    expected = np.mean([record["points"]["shifted"]["1.0"]["cost"]["bytes"] for record in records])
    mine = costs.query("tuner == 'cw-p' and variant == 'shifted' and kind == 'bytes'")
    assert mine["cost"].tolist() == [pytest.approx(expected)]


def test_variants_are_those_that_every_seed_has():
    """One that a seed lacks, or lacks at the budget, is left out; the order stays."""
    points = {"plain": {"0.2": 1}, "certified": {"0.2": 1}, "shifted": {"0.2": 1}}
    other = {"plain": {"0.2": 1}, "certified": {"0.5": 1}, "shifted": {"0.2": 1}}
    assert details.shared_variants([{"points": points}], "0.2") == ["plain", "certified", "shifted"]
    assert details.shared_variants([{"points": points}, {"points": other}], "0.2") == ["plain", "shifted"]
    assert details.shared_variants([{"points": points}, {"points": {"plain": {"0.2": 1}}}], "0.2") == ["plain"]


def test_searches_never_fall(tables):
    """The best so far starts at the original and only rises."""
    for _, run in tables["searches"].groupby("tuner"):
        assert run["trial"].tolist() == list(range(len(run)))
        assert run["gained"].is_monotonic_increasing
        assert run["gained"].iloc[0] == 0


def test_means_are_of_what_every_block_has():
    """Two blocks make a mean of both; a tuner that one of them lacks is in none; one block has no mean."""
    rows = [("a", "x", 1.0), ("b", "x", 3.0), ("a", "y", 9.0)]
    table = pandas.DataFrame(
        [{"dataset": d, "model": "m", "target_name": "1", "tuner": t, "ta_gain": v} for d, t, v in rows]
    )
    means = chart_data.with_mean(table, ["tuner"])
    assert means[means["dataset"].isna()][["tuner", "ta_gain"]].values.tolist() == [["x", 2.0]]
    assert chart_data.titles(means) == [chart_data.ALL, "a m, class 1", "b m, class 1", "a m, class 1"]
    one = table[table["dataset"] == "a"]
    assert chart_data.with_mean(one, ["tuner"]) is one


def test_another_variant_appears_by_itself(board):
    """A board with a variant that no code names is drawn with it."""
    from dataclasses import replace

    more = [{**row, "variant": "tripled"} for row in board.curves if row["variant"] == "plain"]
    rows = [{**row, "ta_gain_tripled": 0.5, "oa_gain_tripled": 0.0} for row in board.rows]
    changed = replace(board, rows=rows, curves=board.curves + more)
    assert list(chart_data.variants_of(changed)) == ["plain", "shifted", "interpolated", "certified", "tripled"]
    assert "tripled" in page.render(changed)
    assert set(chart_data.cost_rows(changed, []).query("variant == 'tripled'")["ta_gain"]) == {50.0}


def test_colours_belong_to_tuners(tables):
    """In every chart a leader has one colour, the best that of the palette's head, and the rest is grey."""
    curves = tables["curves"].query("variant == 'shifted'").assign(shade=lambda rows: rows["shade"] % 3 + 6)
    curves["series"] = curves["tuner"].where(curves["shade"] < 8, charts.OTHERS)
    color = charts.shaded(charts.curves().to_dict(), curves)["encoding"]["color"]["scale"]
    named = dict(zip(color["domain"], color["range"], strict=True))
    assert named[charts.OTHERS] == charts.GREY
    assert set(named.values()) == {*charts.PALETTE[6:], charts.GREY}
    layered = charts.shaded(charts.costs().to_dict(), curves)["layer"][0]["encoding"]["color"]["scale"]
    assert layered == color
    plain = tables["curves"].query("variant == 'plain'")
    best = plain.groupby("tuner")["ta_gain"].mean().idxmax()
    assert set(plain[plain["tuner"] == best]["shade"]) == {0}


def test_files_are_drawn(tunebench, digits_run, tmp_path, monkeypatch):
    """`--plots` writes an SVG with labelled marks and a PNG for each, named after block, variant and cost."""
    monkeypatch.setattr(plots, "CHARTS", {"curves": charts.CHARTS["curves"]})
    monkeypatch.setattr(plots, "tables", lambda board: {"curves": chart_data.tables(board)["curves"]})
    done = tunebench("leaderboard", digits_run, "--plots", tmp_path)
    assert done.out == f"8 files in {tmp_path}\n", done.err
    svg = next(tmp_path.glob("curves-digits-model1-class-*-plain.svg")).read_text("utf-8")
    assert "aria-roledescription" in svg
    assert "TA gained on test, points" in svg
    assert next(tmp_path.glob("*-shifted.png")).read_bytes().startswith(b"\x89PNG")


def test_files_do_not_replace_each_other(tables):
    """Blocks that a file's name cannot tell apart, and names that are too long, are numbered."""
    rows = tables["curves"].query("variant == 'plain'")
    named = [rows.assign(block=name) for name in ("größe", "grüße", "猫", "犬", 150 * "ab", 150 * "ab" + "c")]
    names = [name for name, _ in plots.specifications({"curves": pandas.concat(named)})]
    assert len(set(names)) == len(names) == len(named)
    assert {"curves-gr-e-plain", "curves-gr-e-plain-2"} <= set(names)
    assert all(len(name) < 220 for name in names)


def test_a_page_goes_where_it_is_told(tunebench, digits_run, tmp_path):
    """`--format html -o FILE` writes the run's own page there."""
    done = tunebench("leaderboard", digits_run, "--format", "html", "-o", tmp_path / "page.html")
    assert (done.code, done.out) == (0, "")
    assert (tmp_path / "page.html").read_text("utf-8") == (digits_run / "index.html").read_text("utf-8")
