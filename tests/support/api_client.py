"""The HTTP API of a real daemon process, in front of the fake qBittorrent, and a small client for it."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import urllib3

from lab.processes import free_port
from tests.support.daemon_process import DaemonProcess, until
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent

KEY: Final = "a-key-of-the-tests-0123456789abcdef"
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
ANNOUNCE: Final = "http://tracker.example.org/announce/"
PASSKEY: Final = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
HASHES: Final = tuple(f"{n:040x}" for n in range(1, 7))
ORIGINALS: Final = (5_000_000, 0, 0, 50_001, 0, 0)
"""Limits of the torrents as their person set them. The fourth is lower than what it would be parked at; the last two
belong to a rule without a cap."""
PARKED: Final = HASHES[:3]
"""Those that get a limit of ours while nothing is uploaded."""
CAP: Final = 1_000_000


class Answer(msgspec.Struct, frozen=True):
    """What came back. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def kind(self) -> str:
        """The media type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0]

    def problem(self, status: int, kind: str | None = None) -> dict[str, Any]:
        """The problem details; checks what RFC 9457 asks for, the status, and the end of `type`."""
        assert (self.status, self.kind) == (status, PROBLEM), self.body
        found: dict[str, Any] = self.json()
        assert found["status"] == status
        assert found["title"]
        if kind is not None:
            assert found.get("type", "about:blank").removeprefix("/problems/") == kind, found
        return found


class ApiClient:
    """Asks one daemon. Every request has a connection of its own, so that a server that moves confuses nobody."""

    def __init__(self, port: int, key: str | None = KEY, *, base: str = "") -> None:
        self.port, self.key, self.base = port, key, base
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(120.0))

    def ask(
        self,
        method: str,
        path: str,
        json_body: Any = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = "",
    ) -> Answer:
        """One request. `json_body` is sent as JSON, `body` as it is. `key`: another one; None: none."""
        sent = {"Connection": "close"}
        if json_body is not None:
            body, sent["Content-Type"] = json.dumps(json_body).encode(), JSON
        chosen = self.key if key == "" else key
        if chosen is not None:
            sent["X-Api-Key"] = chosen
        url = f"http://127.0.0.1:{self.port}{self.base}{path}"
        answer = self._pool.request(method, url, body=body, headers={**sent, **(headers or {})}, redirect=False)
        named: dict[str, str] = {}
        for name, value in answer.headers.items():
            named[name.lower()] = f"{named[name.lower()]}\n{value}" if name.lower() in named else value
        return Answer(answer.status, named, answer.data)

    def get(self, path: str, **rest: Any) -> Answer:
        return self.ask("GET", path, **rest)

    def post(self, path: str, json_body: Any = None, **rest: Any) -> Answer:
        return self.ask("POST", path, json_body, **rest)

    def hook(self, event: str, torrent: str) -> Answer:
        """What qBittorrent sends."""
        return self.post("/webhook", {"event": event, "hash": torrent})

    def raw(self, request: bytes, timeout_s: float = 15.0, *, end: bytes = b"never") -> bytes:
        """Send these bytes; all that comes until the other side closes, has said `end` or is silent for so long."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout_s) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(request)
            with contextlib.suppress(ConnectionError, TimeoutError):
                while end not in received and (part := connection.recv(65536)):
                    received += part
        return received


class ServedApi:
    """A folder with a configuration, a fake qBittorrent, and the daemon on a free port."""

    def __init__(self, folder: Path, fake: FakeQBittorrent, **sections: Any) -> None:
        """`sections` are merged into the configuration."""
        self.fake, self.folder = fake, folder
        self.config, self.database = folder / "qguardarr.yaml", folder / "data" / "journal.db"
        self.port = free_port()
        self.client = ApiClient(self.port)
        self.sections = sections
        self.write()

    def write(self, **sections: Any) -> None:
        """The configuration, with other sections merged in; JSON is YAML."""
        content: dict[str, Any] = {
            "qbittorrent": {"url": self.fake.url, "username": self.fake.username, "password": self.fake.password},
            "global": {"update_interval": 0.5, "dry_run": False, "port": self.port},
            "trackers": [
                {"id": "example", "name": "An example", "pattern": "example", "max_upload_speed": CAP, "priority": 7},
                {"id": "default", "pattern": ".*", "max_upload_speed": -1},
            ],
            "auth": {"api_key": KEY},
            "rollback": {"database_path": str(self.database)},
        }
        for name, section in {**self.sections, **sections}.items():
            old = content.get(name)
            content[name] = {**old, **section} if isinstance(old, dict) and isinstance(section, dict) else section
        self.config.write_text(json.dumps(content))

    def start(self, state: str | None = "holding") -> DaemonProcess:
        """Start the daemon; wait until it is in `state`."""
        self.daemon = DaemonProcess(self.config, self.database)
        if state is not None:
            self.daemon.wait_for_state(state)
        return self.daemon

    def set_up_again(self, key: str = KEY, **sections: Any) -> None:
        """Reload with other sections, until the API serves with them; while it moves, it may cut a request off."""
        served = self.daemon.log.count("api_listens")
        if sections:
            self.write(**sections)
        assert self.client.post("/config/reload", key=key).status == 200
        until(lambda: self.daemon.log.count("api_listens") > served, "the API to be set up again")

    def listens(self, port: int) -> bool:
        """Whether anybody takes connections there."""
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            return False
        return True

    @property
    def limits(self) -> dict[str, int]:
        """In the fake, bytes/s; 0 is unlimited."""
        with self.fake.lock:
            return {name: torrent.up_limit for name, torrent in self.fake.torrents.items()}

    @property
    def cycle(self) -> int:
        """Number of the last cycle."""
        status = self.daemon.status
        return 0 if status is None else status.cycle

    def next_cycle(self) -> None:
        """Wait until a cycle that began after this call has ended."""
        wanted = self.cycle + 2
        until(lambda: self.cycle >= wanted, f"cycle {wanted}")

    def wait_until_failing(self, break_it: Callable[[], None]) -> None:
        """Break something until a cycle fails."""

        def fails() -> bool:
            break_it()
            return (s := self.daemon.status) is not None and s.state == "failing"

        until(fails, "a cycle that fails")

    def wait_until_parked(self) -> None:
        """Until every torrent that is to have a limit of ours has one, and that is published."""
        until(lambda: all(0 < self.limits[name] < CAP for name in PARKED), "idle torrents to be parked")
        until(lambda: (s := self.daemon.status) is not None and s.limited == len(PARKED), "that to be published")


@contextlib.contextmanager
def fake_with_torrents(version: str = "5.1.0", **settings: Any) -> Iterator[FakeQBittorrent]:
    """The fake with six torrents: four of a capped tracker, two of another."""
    with FakeQBittorrent(version, **settings) as fake:
        for number, (name, original) in enumerate(zip(HASHES, ORIGINALS, strict=True)):
            url = ANNOUNCE + PASSKEY if number < 4 else f"http://elsewhere.test/{PASSKEY}/announce"
            fake.add(FakeTorrent(name, f"torrent {number}", (url,), up_limit=original))
        yield fake


@contextlib.contextmanager
def served(folder: Path, version: str = "5.1.0", state: str | None = "holding", **sections: Any) -> Iterator[ServedApi]:
    """A daemon in front of a fake with torrents, for the length of a block, from when it is in `state`."""
    with fake_with_torrents(version) as fake:
        api = ServedApi(folder, fake, **sections)
        try:
            api.start(state)
            yield api
        finally:
            api.daemon.kill()
