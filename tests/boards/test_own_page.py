"""The page of one tuned network, from the content of its report."""

import json

import pytest
from browser import BROWSER, Visit, chromium

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
        candidate("refit", 0.8, 0.898, variant="shifted", certificate=PROMISE, **EXTRAS),
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
        "OA falls by at most 0.50 points, with confidence 90 %", "+10.00", "-0.20", "ValueError: no luck",
        "dog: 12 (20 %)", "tuned.safetensors", "tunebench tune --target moggy",
    ):  # fmt: skip
        assert part in text, part


def test_it_says_who_pays_and_how_it_was_found():
    """Every class's change, what the network costs, and a line for every search; nothing where a report lacks it."""
    text = " ".join(own.render(REPORT | {"latency_ratio": 1.25}).split())
    for part in (
        "1,234 parameters (before 1,234)", "4,936 bytes", "1.25x the original",
        "class: dog; tuner: refit, shifted; value: \u22122.5",
        "+10.0", "target samples gained on validation",
    ):  # fmt: skip
        assert part in text, part
    bare = {**REPORT, "candidates": [candidate("original", 0.7, 0.9), REPORT["candidates"][2]], "tuner": "lift"}
    assert "Who pays" not in own.render(bare)


def test_without_a_certificate_it_promises_nothing():
    """And says so."""
    assert "nothing is certified" in own.render({**REPORT, "certificate": None})


def test_it_is_inert():
    """Whatever a class, a reason or a command is called, it adds no element."""
    evil = json.loads(
        json.dumps(REPORT).replace("moggy", json.dumps(EVIL)[1:-1]).replace("no luck", json.dumps(EVIL)[1:-1])
    )
    assert "<script" not in own.render(evil)


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium")
def test_it_is_accessible_and_fits_a_phone(tmp_path):
    """axe-core finds nothing serious, nothing overflows at 390 pixels, nothing is asked for."""
    from axe_playwright_python.sync_playwright import Axe

    path = tmp_path / "index.html"
    path.write_text(own.render(REPORT), encoding="utf-8")
    with chromium() as browser:
        opened = Visit(browser, path, viewport={"width": 390, "height": 844}, color_scheme="dark", bypass_csp=True)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert [svg.is_visible() for svg in opened.page.locator("svg.marks").all()] == [True] * 3
        found = Axe().run(opened.page).response["violations"]
        assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == []
        assert (opened.complaints, opened.requests) == ([], [path.as_uri()])
