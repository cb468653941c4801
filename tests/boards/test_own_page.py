"""The page of one tuned network, from the content of its report."""

import json
import re

import pytest
from browser import Visit, needs_browser

from tunebench.boards.page import own

EVIL = "<script>alert(1)</script>&\"'"


def candidate(tuner, ta, oa, **changes):
    """A line of a report; TA and OA as fractions."""
    return {
        "tuner": tuner, "status": "ok", "reason": None, "variant": "plain", "ta": ta, "ta_low": ta - 0.05,
        "ta_high": ta + 0.03, "oa": oa, "lost": 3, "gained": 5, "params": {}, "certificate": None, **changes,
    }  # fmt: skip


EXTRAS = {
    "classes": {"moggy": 0.1, "dog": -0.025}, "cost": {"params": 1234, "flops": 99, "bytes": 4936}, "search": [0, 2, 6],
}  # fmt: skip
SETTINGS = {"params": {"alpha": 0.5, "steps": 20}}
PROMISE = {"confidence": 0.9, "bound": 0.005, "samples": 2000, "lost": 3, "gained": 5}
REPORT = {
    "target": "moggy",
    "original": {"ta": 0.7, "oa": 0.9},
    "tuned": {"ta": 0.8, "oa": 0.898},
    "tuner": "refit",
    "variant": "shifted",
    "budget": 0.5,
    "certificate": PROMISE,
    "why": "refit has the highest recall of all with a certificate",
    "confusions": [{"class": "dog", "count": 12, "share": 0.2}],
    "samples": {"target": 60, "all": 2000},
    "candidates": [
        candidate("original", 0.7, 0.9, **EXTRAS),
        candidate("refit", 0.8, 0.898, variant="shifted", certificate=PROMISE, **EXTRAS | SETTINGS),
        candidate("lift", 0.78, 0.89),
        {"tuner": "sj", "status": "error", "reason": "ValueError: no luck", "variant": "plain"},
    ],
    "files": {"tuned.safetensors": "your architecture with other numbers"},
    "data": "photos: 2,000 samples",
    "command": "tunebench tune --target moggy",
}  # fmt: skip


def test_it_says_what_was_gained_and_promised():
    """Before and after, the certificate, every candidate with its reason, files and command."""
    text = " ".join(own.render(REPORT).split())
    for part in (
        "from 70.00 to 80.00 %", "from 90.00 to 89.80 %", "on 2,000 samples, 60 of them moggy", "refit, shifted",
        "OA falls by at most 0.5 points on new data like these, with confidence 90 %", "3 are lost, 5 gained.",
        "+10.00", "-0.20", "ValueError: no luck", "dog: 12 (20 %)", "tuned.safetensors",
        "tunebench tune --target moggy",
    ):  # fmt: skip
        assert part in text, part


def test_it_says_who_pays_and_how_it_was_found():
    """Every class's change, what the network costs, and a line for every search; nothing where a report lacks it."""
    text = " ".join(own.render(REPORT | {"latency_ratio": 1.25}).split())
    for part in ("1,234 parameters (before 1,234)", "4,936 bytes", "1.25x the original", "alpha 0.5, steps 20"):
        assert part in text, part
    found = own.tables([line for line in REPORT["candidates"] if line["status"] == "ok"], REPORT)
    assert list(found) == list(own.CHARTS)
    changes = found["classes"].set_index(["tuner", "class"])["value"]
    assert changes["refit, shifted", "dog"] == -2.5
    assert found["searches"]["gained"].max() == 6
    assert set(found["costs"].query("kind == 'bytes'")["cost"]) == {4936}
    bare = {**REPORT, "candidates": [candidate("original", 0.7, 0.9), REPORT["candidates"][2]], "tuner": "lift"}
    assert "Who pays" not in own.render(bare)


def test_a_floor_is_promised_as_one():
    """Under a floor the certificate is of TA, in the table as above it."""
    floor = {"confidence": 0.995, "bound": 0.9995, "samples": 60, "lost": 75, "gained": 5, "hits": 59}
    lines = [line | {"certificate": floor if line.get("certificate") else None} for line in REPORT["candidates"]]
    text = " ".join(own.render({**REPORT, "recall": 0.9995, "certificate": floor, "candidates": lines}).split())
    assert "TA is at least 99.95 % on new data like these, with confidence 99.5 %" in text
    assert "on 60 samples of the class that no choice has seen 59 are right." in text
    assert "75 are lost" not in text
    assert "TA 99.95 % at least" in text
    assert "falls by 0.50" not in text


def test_without_a_certificate_it_promises_nothing():
    """And says so."""
    assert "nothing is certified" in own.render({**REPORT, "certificate": None})


def test_it_is_inert():
    """Whatever a class, a reason or a command is called, it adds no element."""
    evil = json.loads(
        json.dumps(REPORT).replace("moggy", json.dumps(EVIL)[1:-1]).replace("no luck", json.dumps(EVIL)[1:-1])
    )
    assert own.render(evil).count("<script") == own.render(REPORT).count("<script") == 3
    assert "alert(1)</script>" not in own.render(evil)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The page as a file."""
    path = tmp_path_factory.mktemp("own") / "index.html"
    path.write_text(own.render(REPORT), encoding="utf-8")
    return path


@needs_browser
def test_its_table_sorts_filters_and_shows_all(visit):
    """By TA gain, best first, what failed last; by a word; costs and settings stand behind a switch."""
    heading = visit.page.locator("#rows th", has_text="TA gain")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert visit.tuners() == ["refit, shifted\nchosen", "lift", "original", "sj"]
    heading.get_by_role("button").press("Enter")
    assert visit.tuners()[0] == "original"
    hidden = visit.page.locator("#rows th", has_text="settings")
    assert not hidden.is_visible()
    visit.page.get_by_label("all columns").check()
    assert hidden.is_visible()
    visit.page.locator("#tuner").fill("LI")
    assert visit.tuners() == ["lift"]
    assert visit.page.locator("#count").inner_text() == "1 of 4 rows"


@needs_browser
def test_its_charts_are_drawn_and_pointing_at_a_mark_reads_it(visit):
    """Every chart has marks; a tooltip reads a candidate; another cost draws another chart and says what it is."""
    for name in own.CHARTS:
        assert visit.drawn(name).locator("svg.marks path[aria-roledescription]").count() > 1, name
    visit.drawn("candidates").locator("path[aria-roledescription=point]").nth(1).hover(force=True)
    tip = visit.page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert "refit, shifted" in tip.inner_text()
    before = visit.drawn("costs").inner_html()
    visit.page.locator("#kind").select_option("bytes")
    visit.page.locator("figure[data-chart=costs][data-drawn]").wait_for()
    assert visit.drawn("costs").inner_html() != before
    assert "in bytes" in visit.page.locator("#kind-text").inner_text()


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(browser, path, scheme):
    """axe-core finds nothing serious in either scheme, and at 390 pixels nothing but a table's own box overflows."""
    from axe_playwright_python.sync_playwright import Axe

    phone = {"width": 390, "height": 844}
    opened = Visit(browser, path, viewport=phone, color_scheme=scheme, bypass_csp=True)
    for name in own.CHARTS:
        opened.drawn(name)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    colour = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", colour))) < 200) == (scheme == "dark")
    found = Axe().run(opened.page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found if rule["impact"] in ("serious", "critical")] == []
    opened.context.close()


@needs_browser
def test_it_prints(visit):
    """On paper there are all charts, dark on white, and no controls."""
    visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    visit.page.emulate_media(media="print", color_scheme="dark")
    for name in own.CHARTS:
        visit.page.locator(f"figure[data-chart={name}] svg.marks").wait_for()
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not visit.page.locator(".controls").first.is_visible()
    assert visit.page.pdf().startswith(b"%PDF")
