"""The page in a real browser: it sorts, filters, draws, fits, prints, is accessible, and asks for nothing."""

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from browser import Visit, needs_browser

from tunebench.boards import chart_data, leaderboard, page
from tunebench.boards.advice import advise
from tunebench.boards.page import words
from tunebench.grid.suite import parse_suite

BOARDS = Path(__file__).parents[2] / "leaderboards"


@pytest.fixture(scope="module")
def path(digits_run):
    """The page of the real run."""
    return digits_run / "index.html"


@pytest.fixture(scope="module")
def board(digits_run):
    """The leaderboard of the real run."""
    return leaderboard.build(digits_run)


@needs_browser
def test_a_click_sorts(visit, board):
    """By a column's figures, best first, and on the second click the other way; the heading says which."""
    heading = visit.page.locator("#rows th", has_text="TA gain")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    gains = [row["ta_gain"] for row in board.rows]
    assert visit.tuners()[0] in {row["tuner"] for row in board.rows if row["ta_gain"] == max(gains)}
    heading.get_by_role("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert visit.tuners()[0] in {row["tuner"] for row in board.rows if row["ta_gain"] == min(gains)}


@needs_browser
def test_a_word_filters_and_a_switch_shows_all_columns(visit):
    """Rows whose tuner holds the word stay; the switch shows what stood behind it."""
    visit.page.locator("#tuner").fill("SYN")
    assert visit.tuners() == ["random-synapses"]
    assert visit.page.locator("#count").inner_text() == "1 of 5 rows"
    hidden = visit.page.locator("#rows th", has_text="DOT-RV")
    assert not hidden.is_visible()
    visit.page.get_by_label("all columns").check()
    assert hidden.is_visible()


@needs_browser
def test_charts_are_drawn_and_pointing_at_a_mark_reads_it(visit):
    """Every chart has marks; a tooltip names the tuner; the other variant draws other curves."""
    for name in ("curves", "costs", "classes", "missed", "searches"):
        assert visit.drawn(name).locator("svg.marks path[aria-roledescription]").count() > 4
    figure = visit.drawn("curves")
    figure.locator("path[aria-roledescription=point]").last.hover(force=True)
    tip = visit.page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert "tuner" in tip.inner_text()
    before = figure.inner_html()
    visit.page.locator("#variant").select_option("plain")
    visit.page.locator("figure[data-chart=curves][data-drawn]").wait_for()
    assert visit.drawn("curves").inner_html() != before
    assert "own result" in visit.page.locator("#variant-text").inner_text()


@needs_browser
def test_it_opens_with_the_variant_of_its_answer(visit, board):
    """That one's curves are drawn, and its gains stand in the table; another choice shows the other's."""
    best = words.best_of(advise(board.curves), board)
    variant = words.tuner_and_variant(best["first"])[1]
    assert visit.page.locator("#variant").input_value() == variant != "certified"
    mine, other = (visit.page.locator("#rows th", has_text=name).first for name in (variant, "certified"))
    assert (mine.is_visible(), other.is_visible()) == (True, False)
    visit.page.locator("#variant").select_option("certified")
    assert (mine.is_visible(), other.is_visible()) == (False, True)


@needs_browser
def test_a_chart_without_a_mean_over_blocks_shows_one(browser, tmp_path):
    """And says which, with several blocks chosen at once; a block that is chosen shows its own, rows too."""
    path = tmp_path / "index.html"
    board = leaderboard.build(BOARDS / "digits")
    path.write_text(page.render(board), encoding="utf-8")
    opened = Visit(browser, path)
    first, second = chart_data.blocks_of(board)[1:]
    assert f"Of {first}" in opened.drawn("classes").locator(".instead").inner_text()
    opened.page.locator("#block").select_option(second)
    opened.page.locator("figure[data-chart=classes][data-drawn]").wait_for()
    assert not opened.drawn("classes").locator(".instead").is_visible()
    assert opened.page.locator("#count").inner_text() == f"{len(board.rows) // 2} of {len(board.rows)} rows"
    assert opened.complaints == []
    opened.context.close()


@needs_browser
def test_a_run_without_results_has_a_page(browser, digits_run, tmp_path):
    """Rows without figures, no chart, no complaint: the page of a run that was interrupted at once."""
    shutil.copytree(digits_run, tmp_path / "run", ignore=shutil.ignore_patterns("cells", "index.html"))
    path = tmp_path / "index.html"
    path.write_text(page.render(leaderboard.build(tmp_path / "run")), encoding="utf-8")
    opened = Visit(browser, path)
    opened.page.locator("#tuner").fill("smvt")
    assert opened.page.locator("#count").inner_text() == "1 of 5 rows"
    assert "missing" in opened.page.locator("#rows tbody tr:visible").inner_text()
    assert opened.complaints == []
    opened.context.close()


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_in_both_schemes(browser, path, scheme):
    """axe-core finds nothing serious with all charts drawn; the background follows the reader's scheme."""
    from axe_playwright_python.sync_playwright import Axe

    opened = Visit(browser, path, color_scheme=scheme, bypass_csp=True)
    for name in ("curves", "classes"):
        opened.drawn(name)
    colour = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", colour))) < 200) == (scheme == "dark")
    found = Axe().run(opened.page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found if rule["impact"] in ("serious", "critical")] == []
    opened.context.close()


@needs_browser
def test_it_fits_a_phone(browser, path):
    """At 390 pixels nothing but the tables' own boxes scrolls sideways, and text keeps a legible size."""
    opened = Visit(browser, path, viewport={"width": 390, "height": 844})
    opened.drawn("curves")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert opened.page.evaluate("parseFloat(getComputedStyle(document.querySelector('#rows td')).fontSize)") >= 14
    assert opened.page.locator("figure[data-chart=curves] svg.marks").bounding_box()["width"] > 250
    opened.context.close()


@needs_browser
def test_it_prints(visit):
    """On paper there are all rows and all charts, dark on white, and no controls."""
    visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    visit.page.emulate_media(media="print", color_scheme="dark")
    for name in ("curves", "costs", "classes", "missed", "searches"):
        visit.page.locator(f"figure[data-chart={name}] svg.marks").wait_for()
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not visit.page.locator(".controls").first.is_visible()
    assert visit.page.evaluate(
        "document.querySelector('.tall').scrollHeight <= document.querySelector('.tall').clientHeight"
    )
    assert visit.page.pdf().startswith(b"%PDF")


def test_what_it_weighs(path):
    """The page and its library stay below 5 MB."""
    assert path.stat().st_size < 5e6


def test_the_suite_on_the_page_is_the_one_that_was_run(board):
    """Read back, it is the resolved suite to the last field."""
    suite = asdict(parse_suite(words.suite_file(board.lock["suite"]), "the page"))
    assert json.loads(json.dumps(suite)) == board.lock["suite"]


def test_the_answer_names_the_pick(board):
    """Question, pick, gain and caution are sentences with the board's own figures."""
    best = next(row for row in advise(board.curves) if row["budget"] == board.budget)
    text = words.answer(advise(board.curves), board)
    assert text.startswith(f"{best['first']}, at an OA budget of 1 points: {100 * best['ta_gain']:+.2f} points of TA")
    assert f"{100 * best['over_budget']:.0f} % of cells" in text
    assert words.question(board).startswith("Which tuner raises the recall (TA) of class")
    assert words.answer([], board).startswith("None yet")


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), (["a", "b", "a"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_read_as_sentences(names, text):
    """Each name once, the last after an and."""
    assert words.listed(names) == text
