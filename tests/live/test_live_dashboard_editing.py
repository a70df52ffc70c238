"""Editing in a real browser: first run, rules, settings, previews, saves, undo.

The first run is also made with a real qBittorrent; the rest stands in front of the fake.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.peers import Swarm
from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.torrents import DEFAULT_SIZE, make_torrent
from tests.support.api_client import CAP, HASHES, KEY, PARKED, PASSKEY, ApiClient, ServedApi, fake_with_torrents
from tests.support.daemon_process import DaemonProcess, until
from tests.support.dashboard import PHONE, WIDE, axe, chromium, log_in, needs_dashboard, opened, url
from tests.support.fake_qbittorrent import FakeTorrent
from tests.support.live_settings import MessageTarget

pytestmark = [pytest.mark.shared, needs_dashboard]
EXPECTED = (
    "Failed to load resource",
    "ERR_CONNECTION_REFUSED",
    "ERR_EMPTY_RESPONSE",
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
)
"""Chromium reports each answer that says no, and a server that restarts."""
FILE = """\
# mine, and to stay
qbittorrent:
  url: {url}
  username: admin
  password: {password}   # its password

trackers:   # first match counts
  - id: example   # the first
    name: An example
    pattern: 'example'
    max_upload_speed: 1 MB/s     # aligned
  - id: other
    pattern: 'other'
    max_upload_speed: 2 MB/s
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
FIRST_RUN = """\
# a first run
trackers:
  - id: default
    pattern: '.*'
    max_upload_speed: unlimited
global:
  update_interval: 0.5
  port: {port}
  dry_run: true
rollback:
  database_path: {database}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


def made(folder: Path, fake: Any, text: str = FILE) -> ServedApi:
    api = ServedApi(folder, fake)
    filled = text.format(url=fake.url, password=fake.password, port=api.port, key=KEY, database=api.database)
    api.config.write_text(filled)
    return api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    with fake_with_torrents() as fake:
        found = made(tmp_path, fake)
        found.start()
        yield found
        found.daemon.kill()


@pytest.fixture
def target() -> Iterator[MessageTarget]:
    found = MessageTarget()
    yield found
    found.close()


def ready(page: Any, api: ServedApi, path: str, heading: str) -> None:
    log_in(page, api, path)
    page.get_by_role("heading", name=heading, exact=True).wait_for()


def review(page: Any) -> Any:
    """Open the preview, and wait until it is there."""
    page.get_by_role("button", name="Review and save").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("heading", name="Change of the file").wait_for()
    return dialog


def save(page: Any) -> None:
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^Save")).click()
    page.get_by_text("Saved, and in effect.").wait_for()
    page.get_by_role("dialog").wait_for(state="detached")


def rule_ids(api: ServedApi) -> list[str]:
    return re.findall(r"- id: (\S+)", api.config.read_text())


# -- first run --------------------------------------------------------------------------------------------------------


def make_user(page: Any, password: str) -> None:
    page.get_by_label("Name", exact=True).fill("ada")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_label("Password, once more").fill(password)
    page.get_by_role("button", name="Go on").click()


def try_connection(page: Any, address: str, user: str, password: str) -> None:
    page.get_by_label("Address of qBittorrent's Web UI", exact=True).fill(address)
    page.get_by_label("User name there", exact=True).fill(user)
    page.get_by_label("Password there", exact=True).fill(password)
    page.get_by_role("button", name="Test the connection").click()


def begin(page: Any) -> None:
    page.get_by_role("button", name="See what happens, and begin").click()
    page.get_by_text("limits are written to qBittorrent").first.wait_for()
    save(page)
    page.get_by_text("your caps are held").wait_for()


def test_from_nothing_to_a_held_cap_by_the_page_alone(browser: Any, tmp_path: Path) -> None:
    with fake_with_torrents() as fake, contextlib.ExitStack() as ends:
        with fake.lock:
            fake.torrents[HASHES[1]].upspeed = 3 << 20
        api = made(tmp_path, fake, FIRST_RUN)
        api.start(None)
        ends.callback(lambda: api.daemon.kill())
        api.daemon.wait_for_state("failing")
        page = ends.enter_context(opened(browser, api, size=PHONE, expected=EXPECTED))

        page.goto(url(api))
        make_user(page, "short")
        page.get_by_text("Shorter than 8 characters").wait_for()
        make_user(page, "a long one")
        try_connection(page, fake.url, "admin", "wrong")
        page.locator(".notice.bad").get_by_text("password", exact=False).first.wait_for()
        page.get_by_role("link", name="Overview").click()  # the person leaves, and is led back
        page.get_by_role("link", name="Set up").click()
        page.get_by_label("Password there", exact=True).fill(fake.password)
        page.get_by_role("button", name="Test the connection").click()
        page.get_by_text("answers (Web API").wait_for()
        page.get_by_role("button", name="Save the connection").click()

        cap = page.get_by_label("Cap for tracker.example.org")
        page.get_by_role("rowheader", name=re.compile(r"tracker\.example\.org\s*3\.00\sMiB.s\s*4 torrents")).wait_for()
        cap.fill("1")
        page.keyboard.press("Tab")
        page.get_by_text("becomes rule 1").wait_for()
        assert cap.input_value() == "1 MiB/s"
        review(page).get_by_text("4 torrents move to another rule").wait_for()
        save(page)
        assert api.limits[HASHES[1]] == 0, "nothing is written before the person says go"
        begin(page)
        until(lambda: all(0 < api.limits[name] < 2 * CAP for name in PARKED), "limits")
        text = api.config.read_text()
        assert text.startswith("# a first run\n")
        assert "a long one" not in text


def test_a_first_start_with_a_real_qbittorrent(browser: Any, tmp_path: Path) -> None:
    """The file is the one that the first start makes; a torrent is uploaded faster than its new cap."""
    config, port = tmp_path / "qguardarr.yaml", free_port()
    given = {"QGUARDARR_FIRST_START": "1", "QGUARDARR__GLOBAL__PORT": str(port)}
    api: Any = SimpleNamespace(port=port, client=ApiClient(port))
    torrent = make_torrent("one", (f"http://tracker.test/{PASSKEY}/announce",))
    with contextlib.ExitStack() as ends:
        real = ends.enter_context(QBittorrent("5.1.0", tmp_path / "real", refresh_interval_ms=500))
        real.add([torrent])
        real.wait_until_seeding(1)
        swarm = ends.enter_context(Swarm((real.host, real.peer_port)))
        swarm.join({torrent.info_hash: DEFAULT_SIZE}, peers=2)
        swarm.set_demand({torrent.info_hash: 500_000})
        daemon = DaemonProcess(config, tmp_path / "data" / "qguardarr.db", given)
        ends.callback(daemon.kill)
        until(lambda: f"http://127.0.0.1:{port}/" in daemon.log, lambda: daemon.log)
        page = ends.enter_context(opened(browser, api, expected=EXPECTED))
        rate = lambda: real.web.info()[0]["upspeed"]  # noqa: E731 # asked again and again

        page.goto(url(api))
        make_user(page, "a long one")
        try_connection(page, real.url, real.username, real.password)
        page.get_by_text("answers (Web API").wait_for()
        page.get_by_role("button", name="Save the connection").click()
        until(lambda: rate() > 300_000, "uploads")
        page.get_by_role("row", name=re.compile(r"tracker\.test [1-9]\d*(\.\d+)?\sKiB.s 1 1")).wait_for()
        page.get_by_label("Cap for tracker.test").fill("100 kB/s")
        review(page)
        save(page)
        assert not any(real.web.upload_limits().values())
        begin(page)
        until(lambda: 0 < rate() < 130_000, "the cap to be held")
        assert 0 < real.web.upload_limits()[torrent.info_hash] < 130_000
        page.get_by_role("link", name="Go to the overview").click()
        page.get_by_role("heading", name="tracker.test").first.wait_for()
        assert real.password not in daemon.log


# -- rules ------------------------------------------------------------------------------------------------------------


def test_a_cap_is_edited_previewed_saved_and_undone_and_comments_stay(browser: Any, api: ServedApi) -> None:
    before = api.config.read_bytes()
    with opened(browser, api, expected=EXPECTED) as page:
        ready(page, api, "/#/trackers", "Rules")
        cap = page.get_by_label("Cap An example", exact=True)
        cap.fill("5 apples")
        page.locator(".trackers-faults").get_by_text("5 apples").wait_for()
        assert cap.get_attribute("aria-invalid") == "true"
        cap.fill("200 kB/s")
        page.get_by_text("No errors found").wait_for()
        page.get_by_label("Cap for elsewhere.test").fill("300 kB/s")
        dialog = review(page)
        row = dialog.get_by_role("row", name=re.compile("An example"))
        assert re.search(r"before:\s+977[^§]*after:\s+195", row.inner_text())
        dialog.get_by_role("row", name=re.compile("elsewhere.test new")).wait_for()
        dialog.get_by_text("+    max_upload_speed: 200 kB/s").wait_for()
        assert api.config.read_bytes() == before
        save(page)

        rule = "  - id: elsewhere-test\n    name: elsewhere.test\n    pattern: '//elsewhere\\.test\\b'\n"
        wanted = before.decode().replace("1 MB/s     #", "200 kB/s   #")
        wanted = wanted.replace("  - id: default", f"{rule}    max_upload_speed: 300 kB/s\n  - id: default")
        assert api.config.read_bytes() == wanted.encode(), "every other byte stays"
        assert page.get_by_text("changes not saved").count() == 0
        page.get_by_role("button", name="Undo the last save").click()
        page.get_by_role("dialog").get_by_role("button", name="Undo the last save").click()
        page.get_by_text("The file is as it was before the last save").wait_for()
        assert api.config.read_bytes() == before
        until(lambda: page.get_by_label("Cap An example", exact=True).input_value() == "1 MB/s", "the old cap")


def test_rules_are_moved_by_keys_buttons_and_the_mouse(browser: Any, api: ServedApi) -> None:
    with opened(browser, api, expected=EXPECTED) as page:
        ready(page, api, "/#/trackers", "Rules")
        handle = page.get_by_role("button", name="Move rule An example", exact=True)
        handle.focus()
        page.keyboard.press("ArrowDown")
        page.get_by_text("An example is now rule 2 of 3.").wait_for()
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Move rule An example"
        page.get_by_role("button", name="Move An example up").click()
        page.get_by_text("changes not saved").wait_for(state="detached")

        box = handle.bounding_box()
        below = page.get_by_role("button", name="Move rule other", exact=True).bounding_box()
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        page.mouse.down()
        page.mouse.move(box["x"] + 5, below["y"] + below["height"] + 5, steps=5)
        page.mouse.up()
        page.get_by_text("An example is now rule 2 of 3.").wait_for()
        review(page)
        save(page)
        assert rule_ids(api) == ["other", "example", "default"]


def test_rules_are_added_removed_and_urls_tried(browser: Any, api: ServedApi) -> None:
    with opened(browser, api, expected=EXPECTED) as page:
        ready(page, api, "/#/trackers", "Rules")
        page.get_by_role("button", name="Add a rule").click()
        page.keyboard.type("Films")
        page.get_by_label("Pattern Films").fill("(")
        page.get_by_label("Cap Films").fill("3 MB/s")
        page.locator(".trackers-faults").get_by_text("is not a regular expression").wait_for()
        page.get_by_label("Pattern Films").fill("//films\\b")
        page.get_by_role("button", name="Remove rule other", exact=True).click()
        page.get_by_text("will be removed").wait_for()
        page.get_by_text("No errors found").wait_for()
        review(page)
        save(page)
        assert rule_ids(api) == ["example", "films", "default"]
        page.get_by_label("Announce URL").fill(f"http://films/{PASSKEY}/announce")
        page.get_by_role("button", name="Test", exact=True).click()
        page.get_by_text("is taken by Films").wait_for()


def test_a_file_that_somebody_else_changed_is_loaded_and_the_draft_kept(browser: Any, api: ServedApi) -> None:
    with opened(browser, api, expected=EXPECTED) as page:
        ready(page, api, "/#/trackers", "Rules")
        page.get_by_label("Cap An example", exact=True).fill("200 kB/s")
        dialog = review(page)
        theirs = api.config.read_text().replace("id: other", "id: others") + "# theirs\n"
        api.config.write_text(theirs)
        dialog.get_by_role("button", name="Save", exact=True).click()
        dialog.get_by_text("changed by somebody else").wait_for()
        assert api.config.read_text() == theirs, "nothing of theirs is overwritten"
        dialog.get_by_role("button", name="Load it and keep my changes").click()
        dialog.get_by_text("+    max_upload_speed: 200 kB/s").wait_for()
        save(page)
        assert api.config.read_text().endswith("# theirs\n")
        assert "max_upload_speed: 200 kB/s" in api.config.read_text()


def test_a_session_that_ends_keeps_the_draft(browser: Any, api: ServedApi) -> None:
    with opened(browser, api, expected=EXPECTED) as page:
        ready(page, api, "/#/trackers", "Rules")
        page.get_by_label("Cap An example", exact=True).fill("200 kB/s")
        page.get_by_text("No errors found").wait_for()
        page.context.clear_cookies()
        page.get_by_label("Cap other", exact=True).fill("100 kB/s")
        page.get_by_text("Your session has ended").wait_for()
        page.get_by_label("API key", exact=True).last.fill(KEY)
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("2 changes not saved").wait_for()
        review(page)
        save(page)
        assert "100 kB/s" in api.config.read_text()


def test_a_read_only_file_says_so_and_offers_the_yaml(browser: Any, tmp_path: Path) -> None:
    """The daemon without root's privileges, in front of a file that is not its to write."""
    folder = tmp_path / "config"
    folder.mkdir()
    with fake_with_torrents() as fake:
        api = made(folder, fake)
        api.database.parent.mkdir()
        (folder / "stderr.log").touch()
        api.config.chmod(0o444)
        folder.chmod(0o555)
        plain = ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]
        command = [*plain, sys.executable, "-m", "qguardarr", "serve", "--config"]
        daemon = DaemonProcess(api.config, api.database, command=command)
        try:
            daemon.wait_for_state("holding")
            with opened(browser, api, expected=EXPECTED, bypass_csp=True) as page:
                ready(page, api, "/#/trackers", "Rules")
                page.get_by_text("cannot be written").wait_for()
                page.get_by_label("Cap An example", exact=True).fill("200 kB/s")
                dialog = review(page)
                area = dialog.get_by_role("textbox", name="Changed sections")
                assert "max_upload_speed: 200 kB/s" in area.input_value()
                assert dialog.get_by_role("button", name="Save", exact=True).is_disabled()
                assert axe(page) == []
        finally:
            daemon.kill()
            folder.chmod(0o755)


# -- settings ---------------------------------------------------------------------------------------------------------


def test_settings_are_found_explained_tried_and_saved(browser: Any, tmp_path: Path) -> None:
    """Below a base path, with values of all origins."""
    with fake_with_torrents() as fake, contextlib.ExitStack() as ends:
        api = made(tmp_path, fake, FILE + "http:\n  base_path: /one/two\nlogging:\n  level: ${{LEVEL}}\n")
        api.client.base = "/one/two"
        given = {"QGUARDARR__GLOBAL__MAX_API_CALLS_PER_CYCLE": "77", "LEVEL": "WARNING"}
        daemon = DaemonProcess(api.config, api.database, given)
        ends.callback(daemon.kill)
        daemon.wait_for_state("holding")
        page = ends.enter_context(opened(browser, api, expected=EXPECTED))
        ready(page, api, "/#/settings", "Mode")
        page.get_by_role("button", name="Test the connection").click()
        page.get_by_text("answers (Web API").wait_for()
        search = page.get_by_role("searchbox", name="Search settings")
        for words, origin, value in (
            ("max_api_calls", "From the variable QGUARDARR__GLOBAL__MAX_API_CALLS_PER_CYCLE", "77"),
            ("logging.level", "In the file, line 30", "WARNING"),
            ("update_interval", "In the file, line 20", "0.5"),
            ("borrow_threshold", "Default", ""),
        ):
            search.fill(words)
            found = page.locator(".setting")
            found.get_by_text(origin, exact=True).wait_for()
            control = found.locator("input, select")
            assert control.input_value() == value
            locked = words in ("max_api_calls", "logging.level")
            assert found.get_by_text("Cannot be changed here").count() == locked
            assert (control.is_disabled() or control.get_attribute("readonly") is not None) == locked
        search.fill("database")
        page.get_by_text("Cannot be changed here: it names a file").first.wait_for()
        assert page.get_by_label("Dry run", exact=True).count() == 0
        search.fill("")
        interval = page.get_by_label("Update interval", exact=True)
        interval.fill("much")
        page.locator(".setting .error").get_by_text("Must be a number").wait_for()
        interval.fill("0.6")
        page.get_by_label("Dry run", exact=True).check()
        page.get_by_label("Rollout percentage", exact=True).fill("50")
        page.get_by_text("3 changes not saved").wait_for()
        review(page).get_by_text("+  update_interval: 0.6").wait_for()
        save(page)
        text = api.config.read_text()
        assert "dry_run: true" in text
        assert "rollout_percentage: 50" in text
        assert "level: ${LEVEL}" in text
        page.get_by_role("button", name="Use the default: Dry run").click()
        review(page).get_by_text("limits are written to qBittorrent").wait_for()
        save(page)
        assert "dry_run" not in api.config.read_text()


def test_access_is_changed_messages_are_tried_and_caps_set_for_a_while(
    browser: Any, api: ServedApi, target: MessageTarget
) -> None:
    with opened(browser, api, expected=EXPECTED) as page:
        ready(page, api, "/#/settings", "Temporary caps")
        before = api.config.read_bytes()
        page.get_by_label("Tracker", exact=True).select_option("other")
        page.get_by_label("Cap", exact=True).fill("70 kB/s")
        page.get_by_role("button", name="Set cap").click()
        page.get_by_role("button", name="End it: other").click()
        until(lambda: api.client.get("/api/v1/overrides").json() == [], "the override to end")

        messages = page.locator("section", has=page.get_by_role("heading", name="Notifications", exact=True)).last
        messages.get_by_role("button", name="Add", exact=True).click()
        messages.get_by_label("URLs: item 1").fill(target.url)
        messages.get_by_role("button", name="Send a test message").click()
        messages.get_by_text("sent.").wait_for()
        assert len(target.titles) == 1
        messages.get_by_label("URLs: item 1").fill("nothing://x")
        messages.get_by_role("button", name="Send a test message").click()
        messages.locator(".notice.bad").wait_for()
        page.get_by_role("button", name="Discard").click()
        assert api.config.read_bytes() == before

        access = page.locator("section", has=page.get_by_role("heading", name="Access", exact=True)).last
        access.get_by_label("API key", exact=True).fill("another-key-of-the-tests-0123456789")
        access.get_by_label("Username", exact=True).fill("ada")
        access.get_by_label("Password", exact=True).fill("a secret of mine")
        dialog = review(page)
        dialog.get_by_text("everybody has to log in again").wait_for()
        assert "a secret of mine" not in dialog.inner_text()
        assert "another-key" not in dialog.inner_text()
        dialog.get_by_role("button", name="Save", exact=True).click()
        page.get_by_text("Your session has ended").wait_for(timeout=60_000)
        page.get_by_label("Name", exact=True).fill("ada")
        page.get_by_label("Password", exact=True).last.fill("a secret of mine")
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("changes not saved").wait_for(state="detached")
        assert "password: $argon2" in api.config.read_text().replace("'", "").replace('"', "")
        assert api.client.get("/api/v1/status").status == 401
        assert api.client.get("/api/v1/status", key="another-key-of-the-tests-0123456789").status == 200


# -- for everybody ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_axe_finds_nothing(browser: Any, api: ServedApi, size: tuple[int, int]) -> None:
    api.fake.add(FakeTorrent(f"{99:040x}", "long", (f"http://{'very-' * 9}long.test/{PASSKEY}",)))
    with opened(browser, api, size=size, expected=EXPECTED, bypass_csp=True) as page:

        def check() -> None:
            page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                assert axe(page) == [], scheme

        ready(page, api, "/#/setup", "Set up")
        page.get_by_role("heading", name="A name and a password").wait_for()
        check()
        page.get_by_role("button", name="Change: Connect qBittorrent").click()
        page.get_by_text("API key, basic authentication").click()
        check()
        page.goto(url(api, "/#/settings"))
        page.get_by_role("heading", name="Mode", exact=True).wait_for()
        page.get_by_role("button", name="Add", exact=True).click()
        check()
        page.goto(url(api, "/#/trackers"))
        page.get_by_label(re.compile("Cap for very-")).fill("x")
        page.get_by_role("button", name="More about An example").click()
        page.get_by_role("button", name="Remove rule other", exact=True).click()
        page.locator(".trackers-faults").get_by_text("is not a speed").wait_for()
        check()
        page.get_by_label(re.compile("Cap for very-")).fill("1 MB/s")
        page.get_by_text("No errors found").wait_for()
        review(page)
        check()
