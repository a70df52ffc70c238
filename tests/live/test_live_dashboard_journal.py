"""The journal in a real browser: filters in the address, older pages, and rollbacks that are told beforehand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.model import Change
from tests.support.api_client import CAP, HASHES, KEY, ORIGINALS, ServedApi, fake_with_torrents
from tests.support.daemon_process import until
from tests.support.dashboard import PHONE, WIDE, axe, chromium, log_in, needs_dashboard, opened, url

pytestmark = [pytest.mark.shared, needs_dashboard]
NASTY = "<b>An & example</b>"
EARLIER = 230
"""Lines of two days ago, of the fifth torrent."""
LONG = "Some.Very.Long.Name.Of.A.Torrent.2026.S01E01.1080p.WEB.x264-GROUP with 漢字 and spaces"


def write_history(database: Path) -> None:
    """As if a daemon had been at work two days ago, and everything restored since."""
    database.parent.mkdir(parents=True)
    clock = [time.time() - 2 * 86400]
    with contextlib.closing(SqliteJournal(database, now=lambda: clock[0])) as journal:
        for number in range(EARLIER - 1):
            clock[0] += 1
            change = Change(HASHES[4], 0, 100_000 + number, 2**31 - 1, "fair share of Another: 100 kB/s; wants more")
            journal.applied(journal.intend([change]))
        journal.restored([HASHES[4]])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    trackers = [
        {"id": "example", "name": NASTY, "pattern": "example", "max_upload_speed": CAP},
        {"id": "default", "name": "Another", "pattern": ".*", "max_upload_speed": -1},
    ]
    with fake_with_torrents() as fake:
        fake.torrents[HASHES[0]].name = LONG
        api = ServedApi(tmp_path, fake, trackers=trackers, http={"base_path": "/guard"})
        api.client.base = "/guard"
        write_history(api.database)
        try:
            api.start()
            api.wait_until_parked()
            yield api
        finally:
            api.daemon.kill()


def rows(page: Any) -> Any:
    return page.locator(".journal-table tbody tr")


def names(page: Any) -> list[str]:
    found: list[str] = page.locator(".journal-table .journal-name").all_inner_texts()
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_axe_finds_nothing(browser: Any, api: ServedApi, size: tuple[int, int], scheme: str) -> None:
    with opened(browser, api, size=size, scheme=scheme, bypass_csp=True) as page:
        log_in(page, api, "/#/journal?time=custom&from=2026-01-01T00:00")
        rows(page).first.wait_for()
        page.get_by_label(f"Select {LONG}").first.check()
        page.get_by_text("1 torrent selected").wait_for()
        assert axe(page) == []
        page.get_by_role("button", name="Roll back all …").click()
        page.get_by_text("3 torrents get their original limits back").wait_for()
        assert axe(page) == []
        page.get_by_role("button", name="Restore 3 limits").click()
        page.get_by_role("heading", name="Rolled back").wait_for()
        assert axe(page) == []
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
        page.get_by_text("Paused: rolled back in the dashboard").wait_for()
        assert axe(page) == []


def test_filters_stand_in_the_address_and_older_lines_come_on_demand(browser: Any, api: ServedApi) -> None:
    with opened(browser, api) as page:
        log_in(page, api, "/#/journal")
        page.get_by_text("100 changes shown.").wait_for()
        assert names(page)[:3].count(LONG) == 1
        assert "idle" in page.locator(".journal-reason").first.inner_text()
        page.get_by_role("button", name="Show older changes").click()
        page.get_by_text("200 changes shown.").wait_for()
        page.get_by_role("button", name="Show older changes").click()
        page.get_by_text(f"{EARLIER + 3} changes; there are no older ones.").wait_for()

        page.get_by_label("Tracker", exact=True).select_option(label=NASTY)
        page.get_by_text("3 changes; there are no older ones.").wait_for()
        assert page.url.endswith("/guard/#/journal?tracker=example")
        page.get_by_label("Torrent", exact=True).fill("LONG.NAME")
        page.get_by_text("1 change; there are no older ones.").wait_for()
        page.reload()
        page.get_by_text("1 change; there are no older ones.").wait_for()
        assert page.get_by_label("Torrent", exact=True).input_value() == "LONG.NAME"
        page.get_by_label("What happened").select_option("restored")
        page.get_by_text("No change matches these filters.").wait_for()
        page.get_by_role("button", name="Clear filters").click()
        page.get_by_text("100 changes shown.").wait_for()
        page.get_by_label("Time", exact=True).select_option("24h")
        page.get_by_text("3 changes; there are no older ones.").wait_for()
        page.get_by_role("button", name=f"Show only changes of {LONG}").click()
        page.get_by_text(f"Only changes of {LONG}.").wait_for()
        assert f"torrent={HASHES[0]}" in page.url

        page.goto(url(api, "/#/journal?kind=restored"))
        page.get_by_text("1 change; there are no older ones.").wait_for()
        assert page.locator(".journal-status").all_inner_texts() == ["Restored"]


def test_a_rollback_of_all_is_told_first_and_the_pause_is_explained(browser: Any, api: ServedApi) -> None:
    by_hand = HASHES[1]
    with opened(browser, api) as page:
        log_in(page, api, "/#/journal")
        api.client.post("/api/v1/pause")
        api.daemon.wait_for_state("paused")
        with api.fake.lock:
            api.fake.torrents[by_hand].up_limit = 7_654_321
        api.client.post("/api/v1/resume")
        until(lambda: api.limits[by_hand] < 7_654_321, "the limit by hand to be an upper bound, and no more")
        page.get_by_role("button", name="Roll back all …").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("get").first.wait_for()
        before = api.limits
        dialog.get_by_text("What will happen").wait_for()
        assert "4.77\u202fMiB/s" in dialog.inner_text(), "the first torrent's own limit"
        assert api.limits == before, "nothing happens before it is told"
        dialog.get_by_label("Reason").fill("moving house")
        dialog.get_by_role("button", name="Restore").click()
        page.get_by_role("heading", name="Rolled back").wait_for()
        assert "read back from qBittorrent" in dialog.inner_text()
        limits = dict(zip(HASHES, ORIGINALS, strict=True)) | {by_hand: api.limits[by_hand]}
        assert api.limits == limits
        dialog.get_by_text("Paused: moving house").wait_for()
        dialog.get_by_role("button", name="Close").click()
        page.get_by_text("Paused: moving house").wait_for()
        page.get_by_role("button", name="Resume").click()
        page.get_by_text("Paused: moving house").wait_for(state="detached")
        api.wait_until_parked()
        page.get_by_role("button", name="newer changes").click()
        page.locator(".journal-status").get_by_text("Restored").first.wait_for()


def test_some_are_rolled_back_with_and_without_a_pause(browser: Any, api: ServedApi) -> None:
    with opened(browser, api) as page:
        log_in(page, api, "/#/journal?tracker=example")
        page.get_by_role("button", name=f"Roll back {LONG}").first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("1 torrent gets its original limit back").wait_for()
        dialog.get_by_text("Go on holding caps").click()
        dialog.get_by_role("button", name="Restore 1 limit").click()
        dialog.get_by_text("Qguardarr goes on").wait_for()
        dialog.get_by_role("button", name="Close").click()
        until(lambda: api.limits[HASHES[0]] not in (0, ORIGINALS[0]), "the next cycle to decide again")

        page.get_by_label("Select all torrents shown").check()
        page.get_by_text("3 torrents selected").wait_for()
        page.get_by_label("Select torrent 2").first.uncheck()
        page.get_by_role("button", name="Roll back selected …").click()
        dialog.get_by_role("heading", name="Roll back 2 torrents").wait_for()
        dialog.get_by_role("button", name="Restore 2 limits").click()
        dialog.get_by_text("Paused: rolled back in the dashboard").wait_for()
        assert (api.limits[HASHES[0]], api.limits[HASHES[1]]) == (ORIGINALS[0], ORIGINALS[1])
        assert api.limits[HASHES[2]] not in (0, ORIGINALS[2]), "was not chosen"
        dialog.get_by_role("button", name="Resume").click()
        api.daemon.wait_for_state("holding")
        api.wait_until_parked()
        assert page.get_by_text("selected").count() == 0


def test_it_says_why_nothing_can_be_told_while_qbittorrent_is_away(browser: Any, api: ServedApi) -> None:
    with opened(browser, api) as page:
        log_in(page, api, "/#/journal")
        rows(page).first.wait_for()
        api.fake.stop()
        page.get_by_role("button", name="Roll back all …").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("3 torrents cannot be looked at now").wait_for()
        assert dialog.locator(".notice.bad").count() == 1
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")
        assert page.evaluate("document.activeElement.textContent").strip() == "Roll back all …"


def test_by_keys_alone_one_torrent_is_rolled_back(browser: Any, api: ServedApi) -> None:
    with opened(browser, api) as page:
        log_in(page, api, "/#/journal?tracker=example")
        rows(page).first.wait_for()
        page.get_by_role("button", name=f"Roll back {LONG}").first.focus()
        page.keyboard.press("Enter")
        page.get_by_text("1 torrent gets its original limit back").wait_for()
        page.get_by_role("button", name="Restore 1 limit").focus()
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Rolled back").wait_for()
        assert api.limits[HASHES[0]] == ORIGINALS[0]


def test_it_speaks_chinese_and_fits_a_phone(browser: Any, api: ServedApi) -> None:
    with opened(browser, api, size=PHONE, locale="zh-CN") as page:
        page.goto(url(api, "/#/journal"))
        page.get_by_label("API 密钥", exact=True).last.fill(KEY)
        page.keyboard.press("Enter")
        rows(page).first.wait_for()
        page.get_by_text("已显示 100 条更改").wait_for()
        page.get_by_role("button", name="全部回滚…").click()
        page.get_by_text("3 个种子将恢复原始限速").wait_for()
