"""Headless Chromium for tests of pages, as Debian packages it; `BROWSER` is None where there is none."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium")
needs_browser = pytest.mark.skipif(
    BROWSER is None and not os.environ.get("TUNEBENCH_NEEDS_BROWSER"),
    reason="needs Chromium: apt-get install chromium",
)
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser, closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """An open page, with everything that it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.context = browser.new_context(**{"viewport": {"width": 1366, "height": 900}, **options})
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def drawn(self, name: str) -> Any:
        """The figure of a chart, when it has been scrolled to and drawn."""
        figure = self.page.locator(f"figure[data-chart={name}]")
        figure.scroll_into_view_if_needed()
        figure.locator("svg.marks").wait_for()
        return figure

    def tuners(self) -> list[str]:
        """Names of the rows that are shown, in order."""
        return self.page.locator("#rows tbody tr:visible th").all_inner_texts()


@pytest.fixture(scope="module")
def browser():
    """One browser for all."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def visit(browser, path):
    """The fixture ``path`` of a module, opened on a desk.

    Afterwards nothing was complained about, and nothing but the file was asked for.
    """
    opened = Visit(browser, path)
    yield opened
    opened.context.close()
    assert opened.complaints == []
    assert opened.requests == [path.as_uri()]
