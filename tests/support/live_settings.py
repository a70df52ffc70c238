"""A daemon whose configuration is changed while it runs, and what shows that a change took effect."""

from __future__ import annotations

import contextlib
import copy
import json
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from lab.processes import free_port
from qguardarr.core.reconcile.signature import marked
from qguardarr.engine.status import Status, TrackerRow
from tests.support.api_client import KEY, ApiClient
from tests.support.daemon_process import DaemonProcess, until
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent

CAP = 1_000_000
PARKED = marked(CAP // 10)
"""Limit of an idle torrent under CAP, if there are few."""
LINE = 3_000_000
"""What a greedy torrent takes without a limit, bytes/s."""


class Live:
    """The daemon, its configuration and its fake qBittorrent. `use` changes settings; all others are the base's."""

    def __init__(self, folder: Path, fake: FakeQBittorrent, config: Path | None = None) -> None:
        """`config`: where the daemon is told to look, if that is not the file that is written."""
        self.folder, self.fake = folder, fake
        self.file = folder / "qguardarr.yaml"
        self.config = config or self.file
        self.database = folder / "data" / "journal.db"
        self.port = free_port()
        self._number = self._torrents = 0
        self.base: dict[str, Any] = {
            "qbittorrent": {"url": fake.url, "username": fake.username, "password": fake.password},
            "global": {"port": self.port},
            "trackers": [rule("t1"), rule("t2"), rule("default", pattern=".*", max_upload_speed=-1)],
            "auth": {"api_key": KEY},
            "rollback": {"database_path": str(self.database)},
        }
        content = self.settings({})
        self._api = _api_part(content)
        self.write(content)

    def settings(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The base with changes, by dotted name; None removes one. The interval is another each time."""
        self._number += 1
        content = copy.deepcopy(self.base)
        content["global"]["update_interval"] = round(0.5 + self._number / 10_000, 4)
        for name, value in changes.items():
            section, _, key = name.partition(".")
            if not key:
                content[section] = value
            elif value is None:
                content[section].pop(key, None)
            else:
                content.setdefault(section, {})[key] = value
        return content

    def write(self, content: Mapping[str, Any] | str) -> None:
        """Replace the file by renaming, as editors do. JSON is YAML."""
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        fresh = self.file.with_name("fresh")
        fresh.write_text(text)
        fresh.replace(self.file)

    def start(self) -> Self:
        """Begin, and wait until caps are held."""
        self.daemon = DaemonProcess(self.config, self.database)
        self.daemon.wait_for_state("holding")
        return self

    def use(self, changes: Mapping[str, Any] | None = None) -> None:
        """Save the base with these changes, and wait until that is in force. The daemon notices by itself."""
        content = self.settings(changes or {})
        moves, self._api = _api_part(content) != self._api, _api_part(content)
        began = self.daemon.log.count("api_listens")
        self.write(content)
        self.wait_for(content)
        if moves:
            self.daemon.wait_for_log("api_listens", began + 1)

    def wait_for(self, content: Mapping[str, Any]) -> None:
        """Wait until a cycle has run with these settings."""
        wanted = content["global"]["update_interval"]
        until(
            lambda: (s := self.daemon.status) is not None and s.interval_s == wanted,
            f"the settings to be taken up; {self.daemon.log[-2000:]}",
        )

    # -- what is seen --------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        status = self.daemon.status
        assert status is not None
        return status

    def row(self, tracker: str) -> TrackerRow:
        """A tracker in the last picture; the test waits for it."""
        until(lambda: any(row.id == tracker for row in self.status.trackers), f"a tracker {tracker}")
        return next(row for row in self.status.trackers if row.id == tracker)

    def effective(self, tracker: str = "t1") -> float:
        """What it may use now, bytes/s."""
        return self.row(tracker).effective or 0.0

    def next_cycle(self, count: int = 1) -> None:
        """Wait until so many cycles that begin after this call have ended."""
        wanted = self.status.cycle + 1 + count
        until(lambda: self.status.cycle >= wanted, f"cycle {wanted}")

    def limits(self, *hashes: str) -> list[int]:
        """In the fake, bytes/s; 0 is unlimited. All if none is named."""
        with self.fake.lock:
            return [self.fake.torrents[name].up_limit for name in hashes or self.fake.torrents]

    def set_by_hand(self, name: str, limit: int) -> None:
        """Somebody else sets a limit, bytes/s."""
        with self.fake.lock:
            self.fake.torrents[name].up_limit = limit

    def api(self, port: int | None = None, key: str | None = KEY) -> ApiClient:
        return ApiClient(self.port if port is None else port, key)

    def soon(self, check: Callable[[], bool], what: str) -> None:
        """Wait until it is so; an API that just moves is waited for, too."""

        def tried() -> bool:
            try:
                return check()
            except (HTTPError, OSError):
                return False

        until(tried, f"{what}; log:\n{self.daemon.log[-2000:]}")

    # -- torrents ------------------------------------------------------------------------------------------------------

    def torrents(self, *torrents: Mapping[str, Any]) -> list[str]:
        """In place of all before; ones that were never seen. `tracker` names the rule. Returns their hashes."""
        made = []
        for fields in torrents:
            self._torrents += 1
            names = fields.get("tracker", "t1").split()
            rest = {key: value for key, value in fields.items() if key != "tracker"}
            urls = tuple(f"http://{name}.example/announce" for name in names)
            made.append(FakeTorrent(f"{self._torrents:040x}", trackers=urls, **rest))
        with self.fake.lock:
            self.fake.torrents.clear()
            self.fake.add(*made)
        until(lambda: self.status.torrents == len(made), "the torrents to be seen")
        return [torrent.hash for torrent in made]

    @contextlib.contextmanager
    def uploading(self, *hashes: str, rate: float = LINE) -> Iterator[None]:
        """Let torrents upload, as far as their limits allow."""
        stop = threading.Event()

        def run() -> None:
            sent = dict.fromkeys(hashes, 0.0)
            before = time.monotonic()
            while not stop.wait(0.02):
                now = time.monotonic()
                with self.fake.lock:
                    for name in hashes:
                        torrent = self.fake.torrents[name]
                        sent[name] += min(rate, torrent.up_limit or rate) * (now - before)
                        torrent.uploaded_session = int(sent[name])
                before = now

        with self.fake.lock:
            for name in hashes:
                self.fake.torrents[name].state = "uploading"
                self.fake.torrents[name].upspeed = int(rate)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _api_part(content: Mapping[str, Any]) -> Any:
    """What the API is set up again for."""
    listens = content["global"]
    return content["auth"], content.get("http"), listens.get("host"), listens.get("port")


def rule(id_: str, **changes: Any) -> dict[str, Any]:
    return {"id": id_, "pattern": id_, "max_upload_speed": CAP, **changes}


class MessageTarget:
    """Takes what Apprise posts to a `json://` address."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                target.titles.append(body["title"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """No noise."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def events_of(port: int) -> Generator[Status, None, None]:
    """The pictures of an event stream, until it ends."""
    url = f"http://127.0.0.1:{port}/api/v1/events"
    answer = urllib3.PoolManager(retries=False, timeout=20.0).request(
        "GET", url, headers={"X-Api-Key": KEY}, preload_content=False
    )
    assert answer.status == 200
    data = b""
    with contextlib.suppress(HTTPError):
        while part := answer.read1(65536):
            data += part
            while b"\n\n" in data:
                event, data = data.split(b"\n\n", 1)
                for line in event.splitlines():
                    if line.startswith(b"data: "):
                        yield msgspec.json.decode(line[6:], type=Status)
