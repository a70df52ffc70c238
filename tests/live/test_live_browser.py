"""`/docs` and refusals in a real browser: Debian's chromium. What it says in its console is an error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright import sync_api as playwright

from tests.support.api_client import HASHES, KEY, ServedApi, served

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="chromium is not installed"),
]
NAME = "<img src=x onerror=alert(1)>"
CAREFUL = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
"""Only pages of this test are loaded; as root chromium has no sandbox."""


@pytest.fixture(scope="module", params=["", "/one/two"], ids=["desktop", "phone, under a base path"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    with served(tmp_path_factory.mktemp("browser"), http={"base_path": request.param}) as api:
        with api.fake.lock:
            api.fake.torrents[HASHES[0]].name = NAME
        api.client.base = request.param
        yield api


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(CAREFUL))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, api: ServedApi) -> Iterator[Any]:
    (width, height), scheme = ((360, 740), "dark") if api.client.base else ((1280, 900), "light")
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda asked: asked.url.startswith((url(api), "data:")) or said.append(asked.url))
    yield page
    assert [words for words in said if "status of 401" not in words] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing stands out on the right"
    context.close()


def url(api: ServedApi, path: str = "") -> str:
    return f"http://127.0.0.1:{api.port}{api.client.base}{path}"


def authorize(page: Any, key: str) -> None:
    page.click("button.authorize")
    box = page.locator(".auth-container", has_text="X-Api-Key").first
    if box.locator("button", has_text="Logout").count():
        box.locator("button", has_text="Logout").click()
    box.locator("input").fill(key)
    box.locator("button.authorize").click()
    page.locator(".close-modal").click()


def call(page: Any, operation: str, shown: str = "") -> int:
    """Open a call, press *Execute*, and wait until the page shows the status and this text; the status."""
    block = page.locator(f"[id$='{operation}']")
    if not block.locator("button.execute").count():
        block.locator(".opblock-summary-control").click()
    with page.expect_response(lambda answer: "/api/v1/" in answer.url) as answer:
        block.locator("button.execute").click()
    status: int = answer.value.status
    live = block.locator(".live-responses-table tbody")
    live.locator("td.response-col_status", has_text=str(status)).wait_for()
    live.get_by_text(shown).first.wait_for()
    return status


def test_a_page_that_needs_the_key_says_how_to_get_it(page: Any, api: ServedApi) -> None:
    assert page.goto(url(api, "/stats/trackers")).status == 401
    assert "qguardarr api-key" in page.inner_text("body")


def test_calls_can_be_tried_with_the_key_which_the_page_forgets(page: Any, api: ServedApi) -> None:
    page.goto(url(api, "/docs"))
    page.locator(".opblock").first.wait_for()
    assert page.locator(".errors-wrapper").count() == 0
    authorize(page, "wrong-key-wrong-key")
    assert call(page, "get_api_v1_torrents", "the API key is wrong") == 401
    authorize(page, KEY)
    assert call(page, "get_api_v1_torrents", NAME) == 200, "the name is a text"
    assert call(page, "post_api_v1_pause", "maintenance") == 200
    assert api.client.post("/api/v1/resume").status == 200
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert page.context.cookies() == []
    page.reload()
    page.locator(".opblock").first.wait_for()
    assert call(page, "get_api_v1_trackers") == 401


def test_its_files_are_asked_for_once(page: Any, api: ServedApi) -> None:
    page.goto(url(api, "/docs"))
    page.locator(".opblock").first.wait_for()
    page.goto(url(api, "/docs"))
    page.locator(".opblock").first.wait_for()
    sizes = page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.includes('/docs/')).map(e => e.transferSize)"
    )
    assert sizes == [0, 0, 0], "out of the browser's memory"
