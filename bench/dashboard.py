"""Measure what the dashboard costs: viewers the daemon, and the first load a slow phone.

    python -m bench.dashboard viewers          # ten open pages, 30,000 torrents of which 3,000 upload
    python -m bench.dashboard load             # needs Chromium, and the dashboard: make web

Before the daemon stands the tests' fake qBittorrent. *viewers*: stretches with and without listeners of
`/api/v1/events`, in turns, since the daemon's own work changes while it parks torrents. *load*: Chromium with a
quarter of the processor's speed, 1.6 Mbit/s and 150 ms, a new profile each time; the best of the turns counts, as other
programs only make it slower.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.process import MachineUsage, Usage
from tests.support.api_client import KEY, ServedApi
from tests.support.dashboard import PHONE, chromium, url
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent, Session

TRACKERS: Final = 3
CAP: Final = 8_000_000
_MOVE_EVERY_S: Final = 1.5
"""As often as qBittorrent renews its counters."""
_WARM_UP_S: Final = 60.0
_MIB: Final = 2**20
_DOWN: Final = 1_600_000 / 8
_UP: Final = 750_000 / 8
_LATENCY_MS: Final = 150
_SLOWER: Final = 4
_HEADING: Final = """new MutationObserver((_, observer) => {
    if (!document.querySelector(".page h1")) return;
    window.headingAt = performance.now();
    observer.disconnect();
}).observe(document, { childList: true, subtree: true })"""
_TIMES: Final = """() => {
    const [page] = performance.getEntriesByType("navigation");
    const files = performance.getEntriesByType("resource").filter((one) => one.name.includes("/assets/"));
    const painted = performance.getEntriesByName("first-contentful-paint")[0];
    return [painted.startTime - page.responseStart, window.headingAt - page.responseStart,
            [page, ...files].reduce((sum, one) => sum + one.transferSize, 0)];
}"""


class _Busy(FakeQBittorrent):
    """Uploads of some torrents go on; answers tell only what changed, without comparing all."""

    def __init__(self, torrents: int, active: int) -> None:
        super().__init__()
        self._chance = random.Random(1)
        self._told: dict[str, int] = {}
        self._over = threading.Event()
        hashes = [hashlib.sha1(str(number).encode()).hexdigest() for number in range(torrents)]
        for number, name in enumerate(hashes):
            url = f"https://t{number % TRACKERS}.example/announce"
            self.add(FakeTorrent(name, f"torrent {number:05}", (url,), num_leechs=3, num_incomplete=5))
        self._active = hashes[:active]
        self._demand = {name: self._chance.choice((2e3, 5e3, 1e4, 3e4, 1e6)) for name in self._active}
        for name in self._active:
            self.torrents[name].state = "uploading"

    def __enter__(self) -> _Busy:
        threading.Thread(target=self._move, daemon=True).start()
        super().__enter__()
        return self

    def stop(self) -> None:
        self._over.set()
        super().stop()

    def _move(self) -> None:
        while not self._over.wait(_MOVE_EVERY_S):
            with self.lock:
                for name in self._active:
                    torrent = self.torrents[name]
                    rate = min(self._demand[name], torrent.up_limit or 1e9) * self._chance.uniform(0.9, 1.1)
                    torrent.uploaded_session += int(rate * _MOVE_EVERY_S)
                    torrent.upspeed = int(rate)

    def maindata(self, session: Session, rid: int) -> dict[str, Any]:
        """Return what the active ones have sent, and limits that have changed."""
        limits = {name: torrent.up_limit for name, torrent in self.torrents.items()}
        told, self._told = self._told, limits
        if not rid or session.last_id != rid:
            return super().maindata(session, 0)
        session.last_id += 1
        rows: dict[str, dict[str, int]] = {}
        for name in self._active:
            torrent = self.torrents[name]
            rows[name] = {"uploaded_session": torrent.uploaded_session, "upspeed": torrent.upspeed}
        for name, limit in limits.items():
            if told[name] != limit:
                rows.setdefault(name, {})["up_limit"] = limit
        return {"rid": session.last_id, "torrents": rows}


class _Viewer:
    """Reads the stream of events, as an open page does."""

    def __init__(self, api: ServedApi) -> None:
        self.events = 0
        self._socket = socket.create_connection(("127.0.0.1", api.port))
        asked = (
            f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: {KEY}\r\nAccept: text/event-stream\r\n\r\n"
        )
        self._socket.sendall(asked.encode())
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while part := self._socket.recv(65536):
            self.events += part.count(b"event: status")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _served(torrents: int, active: int, interval_s: float) -> Iterator[ServedApi]:
    with tempfile.TemporaryDirectory(prefix="qguardarr-dashboard-") as folder, _Busy(torrents, active) as fake:
        rules = [{"id": f"t{n}", "pattern": rf"t{n}\.example", "max_upload_speed": CAP} for n in range(TRACKERS)]
        api = ServedApi(Path(folder), fake)
        api.write(
            **{
                "global": {"update_interval": interval_s, "max_managed_torrents": max(1000, active)},
                "trackers": [*rules, {"id": "default", "pattern": ".*", "max_upload_speed": -1}],
            }
        )
        try:
            api.start()
            yield api
        finally:
            api.daemon.kill()


def viewers(count: int, *, torrents: int, active: int, interval_s: float, turns: int, stretch_s: float) -> None:
    """Measure `turns` stretches without and with viewers, and print the difference."""
    with _served(torrents, active, interval_s) as api:
        pid = api.daemon.process.pid
        time.sleep(_WARM_UP_S)
        cpu: dict[bool, list[float]] = {False: [], True: []}
        memory: dict[bool, list[int]] = {False: [], True: []}
        for turn in range(turns):
            for watched in (False, True) if turn % 2 == 0 else (True, False):
                open_pages = [_Viewer(api) for _ in range(count)] if watched else []
                time.sleep(2 * interval_s)  # the first event is no part of it
                before, machine, cycles = Usage.of(pid), MachineUsage.now(), api.cycle
                engine = _engine_s(pid)
                time.sleep(stretch_s)
                after = Usage.of(pid)
                beside = after.cpu_s - before.cpu_s - (_engine_s(pid) - engine)
                cpu[watched].append(100 * beside / (after.at - before.at))
                memory[watched].append(after.rss_bytes)
                print(
                    f"{len(open_pages):2} viewers, {api.cycle - cycles} cycles: "
                    f"CPU {after.cpu_percent_since(before):.2f} % of a core, "
                    f"{cpu[watched][-1]:.2f} % beside the engine, RSS {after.rss_bytes / _MIB:.2f} MiB; "
                    f"{sum(page.events for page in open_pages)} events, "
                    f"machine {MachineUsage.now().percent_since(machine):.0f} % busy",
                    flush=True,
                )
                for page in open_pages:
                    page.close()
        more_cpu = statistics.mean(cpu[True]) - statistics.mean(cpu[False])
        more_memory = statistics.mean(memory[True]) - statistics.mean(memory[False])
        print(f"{count} viewers cost {more_cpu:.2f} % of a core beside the engine, and {more_memory / 1e6:.2f} MB")


def _engine_s(pid: int) -> float:
    """CPU seconds of the thread that has used most: the engine's. Viewers cost it nothing, and it varies most."""
    stats = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat"))
    fields = [stat.rpartition(")")[2].split() for stat in stats]
    return max(int(found[11]) + int(found[12]) for found in fields) / os.sysconf("SC_CLK_TCK")


def load(turns: int, *, torrents: int) -> None:
    """Measure the first load of each page, and print the best of the turns."""
    with _served(torrents, torrents // 10, 2.0) as api, chromium() as browser:
        time.sleep(10.0)
        for path in ("/", "/#/torrents"):
            found = [_loaded(browser, api, path) for _ in range(turns)]
            painted, heading, size = (min(values) for values in zip(*found, strict=True))
            print(
                f"{path}: first paint {painted:.0f} ms and the page's heading {heading:.0f} ms after the server's "
                f"answer began; {size / 1000:.1f} kB of files are sent ({_SLOWER} × slower processor, 1.6 Mbit/s, "
                f"{_LATENCY_MS} ms)",
                flush=True,
            )


def _loaded(browser: Any, api: ServedApi, path: str) -> tuple[float, float, float]:
    """First paint and heading, ms after the first byte of the answer, and bytes over the wire."""
    context = browser.new_context(viewport={"width": PHONE[0], "height": PHONE[1]}, is_mobile=True, has_touch=True)
    try:
        made = context.request.post(url(api, "/api/v1/session"), data={"api_key": KEY})
        if not made.ok:
            raise SystemExit(f"login: {made.status} {made.text()}")
        page = context.new_page()
        page.add_init_script(_HEADING)
        tools = context.new_cdp_session(page)
        tools.send("Network.enable")
        tools.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": _LATENCY_MS, "downloadThroughput": _DOWN, "uploadThroughput": _UP},
        )
        tools.send("Emulation.setCPUThrottlingRate", {"rate": _SLOWER})
        page.goto(url(api, path))
        page.locator(".page h1").wait_for(timeout=60_000)
        painted, heading, size = page.evaluate(_TIMES)
        return painted, heading, size
    finally:
        context.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("viewers", "load"))
    parser.add_argument("--torrents", type=int, default=30_000)
    parser.add_argument("--active", type=int, default=3_000, help="… of them, which upload")
    parser.add_argument("--viewers", type=int, default=10)
    parser.add_argument("--interval", type=float, default=2.0, help="seconds from cycle to cycle")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--stretch", type=float, default=60.0, help="seconds of each measurement")
    options = parser.parse_args(arguments)
    if options.what == "load":
        load(options.turns, torrents=options.torrents)
    else:
        viewers(
            options.viewers,
            torrents=options.torrents,
            active=options.active,
            interval_s=options.interval,
            turns=options.turns,
            stretch_s=options.stretch,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
