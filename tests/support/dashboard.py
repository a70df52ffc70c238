"""The dashboard in a real browser, Debian's chromium.

A page fails its test if it says anything in the console, asks anything of another address, or stands out on the right.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright import sync_api as playwright

from qguardarr.api.web import dashboard
from tests.support.api_client import KEY, ServedApi
from tests.support.paths import ROOT

CHROMIUM: Final = shutil.which("chromium")
BUILT: Final = (dashboard.FOLDER / "index.html").is_file()
AXE: Final = ROOT / "web/node_modules/axe-core/axe.min.js"
WIDE: Final = (1280, 900)
PHONE: Final = (360, 740)
needs_dashboard = pytest.mark.skipif(
    (CHROMIUM is None or not BUILT) and "CI" not in os.environ, reason="needs chromium, and the dashboard: make web"
)
_CAREFUL: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
"""Only pages of these tests are loaded; as root chromium has no sandbox."""
_EXPECTED: Final = ("status of 401", "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE")
"""Chromium itself reports refused requests in the console: without a session, or while the daemon is away."""


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Run the browser."""
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(_CAREFUL))
        yield browser
        browser.close()


def url(api: ServedApi, path: str = "/") -> str:
    """Return the address of a page, as `/#/torrents`."""
    return f"http://127.0.0.1:{api.port}{api.client.base}{path}"


@contextlib.contextmanager
def opened(
    browser: Any,
    api: ServedApi,
    *,
    size: tuple[int, int] = WIDE,
    scheme: str = "light",
    locale: str = "en-GB",
    bypass_csp: bool = False,
    expected: tuple[str, ...] = _EXPECTED,
) -> Iterator[Any]:
    """Open a page of its own, which is checked at the end. `bypass_csp`: for axe, which is put into the page."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale=locale, bypass_csp=bypass_csp
    )
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: said.extend([asked.url] * (not asked.url.startswith((url(api), "data:")))))
    try:
        yield page
        assert [words for words in said if not any(word in words for word in expected)] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing stands out on the right"
    finally:
        context.close()


def log_in(page: Any, api: ServedApi, path: str = "/") -> None:
    """Log in by API key, and wait until the page has its first heading."""
    page.goto(url(api, path))
    page.get_by_label("API key", exact=True).last.fill(KEY)
    page.get_by_role("button", name="Log in").click()
    page.locator(".page h1").wait_for()


def axe(page: Any) -> list[str]:
    """Return what axe finds against WCAG 2.2 AA and good practice, in short sentences."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8") + "; 0")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    options = json.dumps({"runOnly": {"type": "tag", "values": tags}})
    found = page.evaluate(f"axe.run(document, {options}).then(r => r.violations)")
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:5]} "
        f"{one['nodes'][0]['failureSummary']}"
        for one in found
    ]
