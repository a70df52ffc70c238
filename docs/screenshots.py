"""Take the pictures of the dashboard in docs/img: `make screenshots`.

A run of the demo's story on a real qBittorrent, as a user's browser shows it; nothing is made up. The first run is a
second Qguardarr that only observes the same qBittorrent.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from playwright import sync_api as playwright

from demo.guard import USER, Guard, guard
from demo.story import STORY
from lab.rig import Rig
from lab.versions import VERSIONS, ensure

FOLDER: Final = Path(__file__).with_name("img")
WIDTH: Final = 1280
FILLED_S: Final = 270.0
"""Until charts of five minutes have something to show."""
MOST_BYTES: Final = 150_000
_SETTLES_MS: Final = 600
_PAGES: Final = {"overview": ("/", 630), "torrents": ("/#/torrents?open={hash}", 800), "trackers": ("/#/trackers", 800)}
"""Address and height of each page."""
_FIRST_RUN: Final = "first-run"


def main() -> int:
    """Take them. Return 1 if one is too large."""
    ensure(VERSIONS[0])
    FOLDER.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qguardarr-screenshots-")))
        rig = stack.enter_context(Rig(STORY, VERSIONS[0]))
        daemon = stack.enter_context(guard(_made(folder / "one"), rig))
        daemon.wait_until_holding()
        browser = stack.enter_context(playwright.sync_playwright()).chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        stack.callback(browser.close)
        shown = rig.torrents[STORY.trackers[-1].name][0].info_hash
        pages = {
            name: _opened(browser, daemon, path.format(hash=shown), height) for name, (path, height) in _PAGES.items()
        }
        print(f"Waiting for {FILLED_S:.0f} s …", flush=True)
        _play(rig, pages["overview"], FILLED_S)
        only = [{"id": "default", "pattern": ".*", "max_upload_speed": "unlimited"}]
        newcomer = stack.enter_context(
            guard(_made(folder / "two"), rig, {"trackers": only, "global": {"dry_run": True}})
        )
        newcomer.wait_until_reading()
        pages[_FIRST_RUN] = _opened(browser, newcomer, "/#/setup", 900)
        _type_caps(pages[_FIRST_RUN])
        taken = [
            _taken(page, f"{name}-{scheme}", scheme) for scheme in ("light", "dark") for name, page in pages.items()
        ]
    return 0 if all(size <= MOST_BYTES for size in taken) else 1


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _play(rig: Rig, page: Any, seconds: float) -> None:
    """Repeat the story; the page's own clock waits, so that its events are read."""
    ends = time.monotonic() + seconds
    for phase in itertools.cycle(STORY.phases):
        rig.set_phase(phase)
        left = min(phase.duration_s, ends - time.monotonic())
        if left <= 0:
            return
        page.wait_for_timeout(1000 * left)


def _opened(browser: Any, daemon: Guard, path: str, height: int) -> Any:
    page = browser.new_context(viewport={"width": WIDTH, "height": height}, locale="en-GB").new_page()
    page.add_init_script('localStorage.setItem("qguardarr.units", "si")')  # the story's caps are in MB/s
    page.goto(daemon.address)
    page.get_by_label("Name", exact=True).fill(USER)
    page.get_by_label("Password", exact=True).fill(daemon.password)
    page.keyboard.press("Enter")
    page.locator(".page h1").wait_for()
    page.goto(daemon.address.rstrip("/") + path)
    page.locator(".page h1").wait_for()
    return page


def _type_caps(page: Any) -> None:
    """Give the first two trackers a cap; what that would do is shown."""
    boxes = page.get_by_label("Cap for ")
    boxes.nth(1).wait_for(timeout=60_000)
    for place, cap in enumerate(("2 MB/s", "1 MB/s")):
        boxes.nth(place).fill(cap)
    page.get_by_text("No errors found").wait_for(timeout=60_000)


def _taken(page: Any, name: str, scheme: str) -> int:
    """Write the picture; return its size."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_timeout(_SETTLES_MS)
    file = FOLDER / f"{name}.png"
    page.screenshot(path=str(file))
    size = file.stat().st_size
    print(f"{file.name}: {size / 1000:.0f} kB{'' if size <= MOST_BYTES else ', too large'}", flush=True)
    return size


if __name__ == "__main__":
    sys.exit(main())
