"""The dashboard in a real browser, in front of the fake: frame, login, overview, and a server that goes and comes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api_client import CAP, HASHES, KEY, ServedApi, served
from tests.support.api_site import HASH, PASSWORD, USER
from tests.support.daemon_process import until
from tests.support.dashboard import PHONE, WIDE, axe, chromium, log_in, needs_dashboard, opened, url

pytestmark = [pytest.mark.shared, needs_dashboard]
NASTY = "<img src=x onerror=console.log(1)> & co"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module", params=["", "/one/two"], ids=["at the root", "under a base path"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    trackers = [
        {"id": "example", "name": NASTY, "pattern": "example", "max_upload_speed": CAP},
        {"id": "a/b", "name": "Another", "pattern": "elsewhere", "max_upload_speed": -1},
        {"id": "default", "pattern": ".*", "max_upload_speed": -1},
    ]
    folder = tmp_path_factory.mktemp("dashboard")
    auth = {"api_key": KEY, "username": USER, "password": HASH}
    with served(folder, http={"base_path": request.param}, trackers=trackers, auth=auth) as api:
        api.client.base = request.param
        yield api


def upload(api: ServedApi, *, bytes_: int) -> None:
    with api.fake.lock:
        torrent = api.fake.torrents[HASHES[0]]
        torrent.state, torrent.upspeed, torrent.num_leechs = "uploading", bytes_, 3
        torrent.uploaded_session += bytes_


def with_key(page: Any, api: ServedApi, path: str = "/") -> None:
    """Log in where a name and a password are offered first."""
    page.goto(url(api, path))
    page.get_by_text("API key", exact=True).first.click()
    page.get_by_label("API key", exact=True).last.fill(KEY)
    page.get_by_role("button", name="Log in").click()
    page.locator(".page h1").wait_for()


def card(page: Any, name: str) -> Any:
    return page.get_by_role("article", name=name)


# -- login ------------------------------------------------------------------------------------------------------------


def test_a_name_and_a_password_let_in_and_a_logout_shuts_out(browser: Any, api: ServedApi) -> None:
    with opened(browser, api) as page:
        page.goto(url(api, "/#/journal"))
        page.get_by_label("Name", exact=True).fill(USER)
        page.get_by_label("Password", exact=True).fill("wrong")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("alert").get_by_text("the user name or the password is wrong").wait_for()
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Journal").wait_for()
        page.get_by_role("button", name="Appearance and session").click()
        page.get_by_text(f"Logged in as {USER}").wait_for()
        page.get_by_role("button", name="Log out").click()
        page.get_by_role("heading", name="Log in").wait_for()
        page.reload()
        page.get_by_role("heading", name="Log in").wait_for()


def test_a_session_that_ends_asks_again_and_keeps_what_was_typed(browser: Any, api: ServedApi) -> None:
    with opened(browser, api) as page:
        with_key(page, api)
        page.get_by_role("button", name="Pause", exact=True).click()
        page.get_by_label("Reason").fill("typed before")
        page.context.clear_cookies()
        page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
        page.get_by_text("Your session has ended").wait_for()
        page.get_by_text("API key", exact=True).first.click()
        page.get_by_label("API key", exact=True).last.fill(KEY)
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("Paused: limits in force stay").wait_for()
        page.get_by_text("typed before").wait_for()
        page.locator(".overview-health").get_by_role("button", name="Resume").click()
        page.get_by_text("All is well: 1 cap is held.").wait_for()


# -- overview ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_overview_is_live_and_axe_finds_nothing(
    browser: Any, api: ServedApi, size: tuple[int, int], scheme: str
) -> None:
    with opened(browser, api, size=size, scheme=scheme, bypass_csp=True) as page:
        page.goto(url(api))
        page.get_by_label("Name", exact=True).wait_for()
        assert axe(page) == []
        with_key(page, api)
        page.get_by_text("All is well: 1 cap is held.").wait_for()
        rates = card(page, NASTY).locator(".overview-gauge b")
        rates.wait_for()

        def moves() -> bool:
            upload(api, bytes_=150_000)
            page.wait_for_timeout(100)
            return bool(re.search(r"[1-9]\S* [KM]iB/s", rates.inner_text().replace("\u202f", " ")))

        until(moves, "a rate that is shown")
        page.locator(".chart-plot canvas").first.wait_for()
        assert axe(page) == []
        page.get_by_role("button", name=f"Temporary cap for {NASTY}").first.click()
        page.get_by_role("dialog").wait_for()
        assert axe(page) == []


def test_a_temporary_cap_is_set_with_the_servers_words_and_ended(browser: Any, api: ServedApi) -> None:
    with opened(browser, api, expected=("status of 401", "status of 400")) as page:
        with_key(page, api)
        card(page, "Another").get_by_role("button", name="Temporary cap for Another").click()
        page.get_by_label("Cap", exact=True).fill("much")
        page.get_by_role("button", name="Set cap").click()
        page.get_by_role("dialog").locator(".field .error").get_by_text("much").wait_for()
        page.get_by_label("Cap", exact=True).fill("2 MiB/s")
        page.get_by_role("button", name="Set cap").click()
        card(page, "Another").get_by_text("Temporary cap 2.00").wait_for()
        assert {row["tracker"] for row in api.client.get("/api/v1/overrides").json()} == {"a/b"}
        card(page, "Another").get_by_role("button", name="End it").click()
        until(lambda: api.client.get("/api/v1/overrides").json() == [], "the override to end")


def test_choices_are_kept(browser: Any, api: ServedApi) -> None:
    with opened(browser, api, size=PHONE) as page:
        with_key(page, api)
        page.get_by_role("button", name="Appearance and session").click()
        page.get_by_label("Theme").select_option("dark")
        page.get_by_label("Units").select_option("si")
        page.get_by_label("Language").select_option("zh")
        page.get_by_role("heading", name="概览").wait_for()
        page.reload()
        page.get_by_role("heading", name="概览").wait_for()
        card(page, NASTY).get_by_text("1.00\u202fMB/s").first.wait_for()
        root = page.locator("html")
        assert (root.get_attribute("data-theme"), root.get_attribute("lang")) == ("dark", "zh-CN")


def test_by_keys_alone_one_gets_everywhere(browser: Any, api: ServedApi) -> None:
    with opened(browser, api) as page:
        with_key(page, api)
        page.keyboard.press("Tab")
        page.reload()
        page.locator(".page h1").wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.get_by_role("button", name="Pause", exact=True).focus()
        page.keyboard.press("Enter")
        page.get_by_role("dialog").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="hidden")
        page.wait_for_function("document.activeElement.textContent === 'Pause'")


def test_it_says_that_the_server_is_away_and_goes_on_when_it_is_back(browser: Any, api: ServedApi) -> None:
    with opened(browser, api, expected=("Failed to load resource", "status of 401")) as page:
        with_key(page, api)
        page.get_by_text("All is well").wait_for()
        page.evaluate("window.stayed = true")
        api.daemon.end()
        page.get_by_text("No connection to Qguardarr since").wait_for()
        api.start()
        page.get_by_text("All is well").wait_for(timeout=60_000)
        assert page.evaluate("window.stayed"), "it is the same page, and the same session"
        known = "Array.from(document.querySelectorAll('.overview-card .chart-plot canvas')).length"
        assert page.evaluate(known) == 3


def test_the_first_load_is_small_and_asked_for_once(browser: Any, api: ServedApi) -> None:
    with opened(browser, api) as page:
        with_key(page, api)
        page.locator(".chart-plot canvas").first.wait_for()
        sizes = (
            "performance.getEntriesByType('resource').filter(e => e.name.includes('/assets/')).map(e => e.transferSize)"
        )
        assert 0 < sum(page.evaluate(sizes)) < 120_000
        page.reload()
        page.locator(".chart-plot canvas").first.wait_for()
        assert set(page.evaluate(sizes)) == {0}, "out of the browser's memory"


def test_without_a_password_only_the_key_is_asked_for(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    with served(tmp_path_factory.mktemp("key")) as api, opened(browser, api) as page:
        log_in(page, api)
        assert page.get_by_label("Password", exact=True).count() == 0
