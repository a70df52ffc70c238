"""Groups in a real browser, in front of the fake: schedules are painted, selectors built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_client import HASHES, KEY, ServedApi, fake_with_torrents
from tests.support.daemon_process import until
from tests.support.dashboard import PHONE, WIDE, axe, chromium, log_in, needs_dashboard, opened

pytestmark = [pytest.mark.shared, needs_dashboard]
FILE = """\
# mine
qbittorrent:
  url: {url}
  username: admin
  password: {password}
trackers:
  - id: example
    name: An example
    pattern: 'example'
    max_upload_speed: 1 MB/s     # aligned
  - id: default
    pattern: '.*'
    max_upload_speed: unlimited
global:
  update_interval: 0.5
  port: {port}
auth:
  api_key: {key}
rollback:
  database_path: {database}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    with fake_with_torrents() as fake:
        found = ServedApi(tmp_path, fake)
        text = FILE.format(url=fake.url, password=fake.password, port=found.port, key=KEY, database=found.database)
        found.config.write_text(text)
        found.start()
        yield found
        found.daemon.kill()


def open_group(page: Any, api: ServedApi, part: str) -> None:
    log_in(page, api, "/#/trackers")
    page.get_by_role("button", name="More about An example").click()
    page.get_by_role("group").get_by_text(part, exact=True).click()


def stroke(page: Any, first: tuple[int, float], last: tuple[int, float]) -> None:
    """Drag the mouse from one day (0 is Monday) and hour to another."""
    box = page.locator(".week-area").bounding_box()
    points = [
        (box["x"] + box["width"] * (hour + 0.25) / 24, box["y"] + box["height"] * (day + 0.5) / 7)
        for day, hour in (first, last)
    ]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=4)
    page.mouse.up()


def save(page: Any) -> None:
    page.get_by_role("button", name="Review and save").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("heading", name="Effect on limits").or_(
        dialog.get_by_role("heading", name="Change of the file")
    ).first.wait_for()
    dialog.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved, and in effect.").wait_for()


def test_a_schedule_is_painted_by_mouse_and_keys_and_saved(browser: Any, api: ServedApi) -> None:
    before = api.config.read_text()
    with opened(browser, api) as page:
        open_group(page, api, "Schedule")
        page.get_by_label("Cap A", exact=True).fill("200 kB/s")
        stroke(page, (0, 8), (4, 17.5))  # Monday to Friday, 08:00 to 18:00
        page.get_by_role("button", name="Another cap").click()
        page.get_by_label("Cap B", exact=True).fill("unlimited")
        page.get_by_role("grid").focus()
        page.keyboard.press("End")  # Friday, 23:30
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Shift+ArrowDown")
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Space")
        page.get_by_text("Saturday – Sunday 23:00–24:00: unlimited").wait_for()
        page.get_by_role("gridcell", name="Monday 17:30: 200 kB/s").wait_for()
        page.get_by_role("gridcell", name="Sunday 23:30: unlimited").wait_for()
        page.get_by_text("No errors found").wait_for()
        save(page)

        schedule = (
            "    max_upload_speed: 1 MB/s     # aligned\n    schedule:\n"
            "      - {days: mon-fri, from: '08:00', to: '18:00', cap: 200 kB/s}\n"
            "      - {days: 'sat,sun', from: '23:00', to: '24:00', cap: unlimited}\n"
        )
        assert api.config.read_text() == before.replace("    max_upload_speed: 1 MB/s     # aligned\n", schedule)
        page.reload()
        page.get_by_role("button", name="More about An example").click()
        page.get_by_role("gridcell", name="Tuesday 08:00: 200 kB/s").wait_for()
        stroke(page, (0, 8), (4, 17.5))  # where the cap was painted it is taken away again
        page.get_by_text("No errors found").wait_for()
        page.get_by_text("1 window, as text").wait_for()


def test_a_selector_is_built_and_says_what_it_would_select(browser: Any, api: ServedApi) -> None:
    with api.fake.lock:
        for number, category, tags in ((0, "", ""), (1, "films/uhd", ""), (2, "films", "keep"), (4, "music", "")):
            api.fake.torrents[HASHES[number]].category = category
            api.fake.torrents[HASHES[number]].tags = tags
    before = api.config.read_text()
    with opened(browser, api) as page:
        log_in(page, api, "/#/trackers")
        page.get_by_role("button", name="Add a rule").click()
        page.keyboard.type("Films")
        page.get_by_label("Cap Films").fill("2 MB/s")
        page.get_by_role("button", name="Move Films up").click()
        page.get_by_role("button", name="More about Films").click()
        page.get_by_text("Which torrents", exact=True).click()
        page.get_by_label("Add a condition").select_option("Category is any of")
        offered = page.locator(".selector datalist option")
        offered.first.wait_for(state="attached")
        assert offered.evaluate_all("all => all.map(one => one.label)") == [
            "films (2 torrents)",
            "films/uhd (1 torrent)",
            "music (1 torrent)",
        ]
        page.get_by_label("Value of: Category is any of").fill("films")
        page.keyboard.press("Enter")
        ask = page.get_by_role("button", name="See what it would take")
        ask.click()
        page.get_by_text("Takes 2 torrents.").wait_for()
        assert page.locator(".selected li").all_inner_texts() == ["torrent 1", "torrent 2"]
        page.get_by_role("button", name="Add an exception").click()
        page.get_by_role("group", name="But not").get_by_label("Add a condition").select_option("Tags is any of")
        page.get_by_label("Value of: Tags is any of").fill("keep")
        page.keyboard.press("Enter")
        ask.click()
        page.get_by_text("Takes 1 torrent.").wait_for()
        assert page.locator(".selected li").all_inner_texts() == ["torrent 1"]
        save(page)

    rule = (
        "  - id: films\n    name: Films\n    category: [films]\n    not: {tags: [keep]}\n    max_upload_speed: 2 MB/s\n"
    )
    assert rule in api.config.read_text()
    assert api.config.read_text().replace(rule, "") == before


def test_groups_stand_as_a_tree_with_quotas_usage_and_temporary_caps(browser: Any, tmp_path: Path) -> None:
    with fake_with_torrents() as fake:
        api = ServedApi(tmp_path, fake)
        parents = "trackers:\n  - id: private\n    name: All private\n    max_upload_speed: 4 MB/s\n"
        parents += "    quota: {{bytes: 500 GB, per: month}}\n"
        beneath = "    pattern: 'example'\n    parent: private\n    rate: 300 kB/s\n"
        text = FILE.replace("trackers:\n", parents).replace("    pattern: 'example'\n", beneath)
        api.config.write_text(
            text.format(url=fake.url, password=fake.password, port=api.port, key=KEY, database=api.database)
        )
        api.start()
        try:
            with opened(browser, api, size=PHONE, scheme="dark", bypass_csp=True) as page:
                log_in(page, api)
                rows = page.locator(".tree-rows > li")
                rows.first.wait_for()
                names = [row.locator(".tree-name").inner_text() for row in rows.all()]
                assert names == ["The whole line", "All private", "An example", "default"]
                rows.nth(2).get_by_text("guaranteed 293\u202fKiB/s").wait_for()
                rows.nth(1).get_by_text("0\u202fB of 466\u202fGiB").wait_for()
                usage = page.get_by_role("region", name="Usage")
                usage.get_by_label("Of").select_option("All private")
                with page.expect_download() as download:
                    usage.get_by_role("link", name="As CSV").click()
                assert Path(download.value.path()).read_text().startswith("group,start,bytes")
                for number, group in enumerate(("The whole line", "All private")):
                    page.get_by_role("button", name=f"Temporary cap for {group}").click()
                    dialog = page.get_by_role("dialog")
                    dialog.get_by_label("Cap", exact=True).fill("512 KiB/s")
                    dialog.get_by_role("button", name="Set cap").click()
                    rows.nth(number).get_by_text("of 512\u202fKiB/s").wait_for()
                assert {one["tracker"] for one in api.client.get("/api/v1/overrides").json()} == {"", "private"}
                page.reload()  # without messages, which lie over the page
                rows.nth(1).get_by_text("of 512\u202fKiB/s").wait_for()
                assert axe(page) == []
                page.get_by_role("button", name="End it: All private").click()
                rows.nth(1).get_by_text("of 3.81\u202fMiB/s").wait_for()
                assert [one["tracker"] for one in api.client.get("/api/v1/overrides").json()] == [""]
        finally:
            api.daemon.kill()


def test_a_hush_and_a_boost_are_given_and_ended(browser: Any, api: ServedApi) -> None:
    def cap() -> int:
        found: int = api.client.get("/api/v1/trackers/example").json()["cap"]
        return found

    with opened(browser, api, size=PHONE, scheme="dark", bypass_csp=True) as page:
        log_in(page, api)
        page.get_by_role("button", name="Boost or hush").click()
        dialog = page.get_by_role("dialog")
        assert axe(page) == []
        dialog.get_by_role("button", name="Hush", exact=True).click()
        page.locator(".notice", has_text="Hush of all caps and the line: to 10%, until").wait_for()
        until(lambda: cap() == 100_000, "the hush")
        page.get_by_role("button", name="End the hush").click()
        page.locator(".notice", has_text="Hush of all caps").wait_for(state="detached")
        until(lambda: cap() == 1_000_000, "the cap of before")
        page.get_by_role("button", name="Boost or hush").click()
        dialog.get_by_text("Boost", exact=True).first.click()
        dialog.get_by_label("Of", exact=True).select_option("An example")
        dialog.get_by_role("button", name="Boost", exact=True).click()
        page.locator(".notice", has_text="Boost of An example: to 200%, until").wait_for()
        until(lambda: cap() == 2_000_000, "the boost")
        page.reload()
        page.locator(".notice", has_text="Boost of An example").wait_for()
        assert axe(page) == []


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (PHONE, "dark")])
def test_all_parts_of_a_group_are_accessible(browser: Any, api: ServedApi, size: tuple[int, int], scheme: str) -> None:
    with opened(browser, api, size=size, scheme=scheme, bypass_csp=True) as page:
        log_in(page, api, "/#/trackers")
        page.get_by_role("button", name="More about An example").click()
        page.locator(".group-part").first.wait_for()
        for part in page.locator(".group-part > summary").all():
            part.click()
        page.get_by_role("grid").wait_for()
        stroke(page, (1, 3), (2, 9))
        assert axe(page) == []
