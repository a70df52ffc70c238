"""Several qBittorrents in a real browser, in front of two fakes: what the pages say of each, and of its torrents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api_client import ServedApi
from tests.support.daemon_process import until
from tests.support.dashboard import PHONE, WIDE, axe, chromium, log_in, needs_dashboard, opened
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent

pytestmark = [pytest.mark.shared, needs_dashboard]

TWIN, OWN, GUARDED = "7" * 40, "1" * 40, "9" * 40
LIMIT = 3 * 1024**2


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


class Two:
    """Two fakes and a daemon in front of them; a torrent that both have, and one of `home` alone."""

    def __init__(self, folder: Any, home: FakeQBittorrent, box: FakeQBittorrent) -> None:
        self.fakes = {"home": home, "box": box}
        urls = ("http://alpha.example/announce",)
        for name, fake in self.fakes.items():
            fake.refresh_interval_ms = 500
            fake.add(FakeTorrent(TWIN, f"twin at {name}", urls))
        home.add(FakeTorrent(OWN, "a film of home", urls))
        connections = [
            {"name": name, "url": fake.url, "username": fake.username, "password": fake.password}
            for name, fake in self.fakes.items()
        ]
        rules = [
            {"id": "alpha", "pattern": "alpha", "max_upload_speed": "2 MB/s", "overspeed": LIMIT},
            {"id": "default", "pattern": ".*", "max_upload_speed": -1},
        ]
        self.api = ServedApi(folder, home, qbittorrent=connections, trackers=rules)

    def limited(self) -> bool:
        return all(limit > 0 for fake in self.fakes.values() for limit in limits(fake))


def limits(fake: FakeQBittorrent) -> list[int]:
    with fake.lock:
        return [torrent.up_limit for torrent in fake.torrents.values()]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with FakeQBittorrent() as home, FakeQBittorrent("5.3.0") as box:
        found = Two(tmp_path_factory.mktemp("two"), home, box)
        found.api.start()
        until(found.limited, "limits at both")
        yield found
        found.api.daemon.kill()


def test_torrents_are_told_apart_by_their_qbittorrent(browser: Any, two: Two) -> None:
    with opened(browser, two.api, bypass_csp=True) as page:
        log_in(page, two.api, "/#/torrents?sort=name")
        page.get_by_text("3 torrents", exact=True).wait_for()
        page.get_by_label("qBittorrent", exact=True).select_option("box")
        page.get_by_text("1 torrent", exact=True).wait_for()
        page.locator(".torrents-row").click()
        detail = page.get_by_role("complementary", name="Torrent")
        detail.get_by_role("link", name="box", exact=True).wait_for()
        detail.get_by_role("heading", name="Announces itself to").wait_for()
        assert f"open={TWIN}%40box" in page.url
        assert axe(page) == []
        detail.get_by_role("button", name="Put its own limit back").click()
        page.get_by_role("dialog").get_by_role("button", name="Pause and put it back").click()
        page.get_by_text("Its own limit is in force: unlimited.").wait_for()
        assert limits(two.fakes["box"]) == [0]
        assert all(limits(two.fakes["home"])), "its twin keeps its limit"
        assert two.api.client.post("/api/v1/resume").status < 300
        until(two.limited, "limits at both again")


def test_the_announce_budget_of_a_torrent_is_shown(browser: Any, two: Two) -> None:
    home = two.fakes["home"]
    torrent = FakeTorrent(GUARDED, "a guarded film", ("http://alpha.example/announce",), state="uploading")
    home.add(torrent)

    def uploads() -> bool:
        with home.lock:
            torrent.uploaded_session += 200_000
            torrent.time_active += 1
            torrent.num_leechs = 3
        found = two.api.client.get(f"/api/v1/torrents/{GUARDED}")
        return found.status == 200 and found.json()["announce"] is not None

    until(uploads, "an announce budget")
    with opened(browser, two.api) as page:
        log_in(page, two.api, f"/#/torrents?q=guarded&open={GUARDED}@home")
        budget = page.get_by_role("region", name="Announce budget")
        budget.get_by_text("3.00\u202fMiB/s").wait_for()
        budget.get_by_text("Steady: it never uploads faster").wait_for()
        page.get_by_role("button", name="Close the torrent").click()
        page.get_by_label("Announce budget").check()
        page.get_by_role("columnheader", name="Announce budget").wait_for()
        page.locator(".torrents-row .torrents-announce", has_text="used)").wait_for()
    with home.lock:
        del home.torrents[GUARDED]


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (PHONE, "dark")])
def test_the_overview_names_all_and_says_what_counts_of_one_that_is_away(
    browser: Any, two: Two, size: tuple[int, int], scheme: str
) -> None:
    with opened(browser, two.api, size=size, scheme=scheme, bypass_csp=True) as page:
        log_in(page, two.api)
        known = page.get_by_role("region", name="qBittorrents")
        known.get_by_text("Connected").nth(1).wait_for()
        page.get_by_text("2 of 2 connected").wait_for()
        two.fakes["box"].stop()
        try:
            known.get_by_text("Away since").wait_for()
            known.get_by_text("of the caps are kept for its torrents").wait_for()
            assert axe(page) == []
        finally:
            two.fakes["box"].start()
        known.get_by_text("Connected").nth(1).wait_for()
