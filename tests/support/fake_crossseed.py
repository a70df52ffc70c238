"""A fake cross-seed 6 over real HTTP on 127.0.0.1: its `POST /api/webhook`, as strict as the published schema.

As the real one it looks at the key first, then indexes its torrents, then at the body, and answers 204 (or 400) only
then. Its schema: https://www.cross-seed.org/docs/reference/api#post-apiwebhook, and `WEBHOOK_SCHEMA` in its server.ts.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from lab.processes import keep_port

KEY = "a-cross-seed-key-of-24-chars"
_OPTIONS = {
    "ignoreCrossSeeds",
    "ignoreExcludeRecentSearch",
    "ignoreExcludeOlder",
    "ignoreBlockList",
    "includeSingleEpisodes",
    "includeNonVideos",
}
_BODY_TYPES = {"application/x-www-form-urlencoded", "application/json", "text/plain"}
_MAX_BODY_BYTES = 1024 * 1024
HANG, RESET, GARBAGE = "hang", "reset", "garbage"


@dataclass(frozen=True)
class Call:
    """A request that arrived."""

    target: str
    headers: dict[str, str]
    """Headers; names in lower case."""
    body: bytes


def parsed(data: str) -> Any:
    """Return the body as cross-seed reads it, whatever its content type: JSON if possible, else a form."""
    try:
        body = json.loads(data)
    except ValueError:
        body = {name: values[0] if len(values) == 1 else values for name, values in parse_qs(data, True).items()}
    if isinstance(body, dict) and "infoHash" in body:
        body["infoHash"] = body["infoHash"].lower()  # fails on what is no text, as the real one does
    return body


def valid(body: Any) -> bool:
    """Tell whether the webhook's schema accepts a body: one of infoHash and path, and no unknown key."""
    if not isinstance(body, dict) or not body.keys() <= {"infoHash", "path", *_OPTIONS}:
        return False
    info_hash, path = body.get("infoHash"), body.get("path")
    if "infoHash" in body and not (isinstance(info_hash, str) and len(info_hash) == 40):
        return False
    if "path" in body and not (isinstance(path, str) and path and Path(path).exists()):
        return False
    return bool(info_hash) != bool(path) and all(isinstance(body[o], bool | str) for o in _OPTIONS & body.keys())


class FakeCrossSeed:
    """Serves as a context manager, or between `start` and `stop`."""

    def __init__(self, key: str = KEY) -> None:
        self.key = key
        self.indexed = threading.Event()
        """While it is cleared, torrents are indexed: answers wait for the end of that."""
        self.indexed.set()
        self.calls: list[Call] = []
        self.searches: list[str] = []
        """Torrents that it searches for, in order."""
        self.at_once = 0
        """Largest number of requests at the same time."""
        self.port = keep_port(self)
        self._open = 0
        self._faults: deque[str | int] = deque()
        self._changed = threading.Condition()
        self.released = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/webhook"

    def start(self) -> None:
        """Serve, on the same port as before if it served already."""
        fake = self

        class Handler(_Handler):
            server_side = fake

        self.released.clear()
        self._server = _Server(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and cut all connections."""
        if self._server is None or self._thread is None:
            return
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.close_all()
        self._server.server_close()
        self._server = None

    def fail_next(self, *faults: str | int) -> None:
        """Let the next requests fail, one fault each: HANG, RESET, GARBAGE, or a status."""
        self._faults.extend(faults)

    def fail_no_more(self) -> None:
        """Forget the faults of `fail_next` that no request has met."""
        with self._changed:
            self._faults.clear()

    def wait_for_calls(self, count: int, timeout_s: float = 10.0) -> None:
        """Wait until this number of requests have arrived since the start."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, timeout_s), f"{len(self.calls)} calls"

    def wait_for_searches(self, count: int, timeout_s: float = 10.0) -> None:
        """Wait until it searches for this number of torrents."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.searches) >= count, timeout_s), f"{self.searches} only"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # How it answers

    def take(self, call: Call) -> str | int | None:
        """Note a request. Return its fault, if it is to fail."""
        with self._changed:
            self.calls.append(call)
            self._open += 1
            self.at_once = max(self.at_once, self._open)
            self._changed.notify_all()
            return self._faults.popleft() if self._faults else None

    def done(self) -> None:
        with self._changed:
            self._open -= 1

    def status(self, method: str, call: Call) -> int:
        """Answer without a fault."""
        parts = urlsplit(call.target)
        if (method, parts.path) != ("POST", "/api/webhook"):
            return 404
        if call.headers.get("content-type", "").partition(";")[0] not in _BODY_TYPES:
            return 415
        if len(call.body) > _MAX_BODY_BYTES:
            return 413
        try:
            body = parsed(call.body.decode())
        except (ValueError, AttributeError):
            return 500
        if (call.headers.get("x-api-key") or parse_qs(parts.query).get("apikey", [""])[0]) != self.key:
            return 401
        while not self.indexed.wait(0.02) and not self.released.is_set():
            pass
        if not valid(body):
            return 400
        with self._changed:
            self.searches.append(body.get("infoHash") or body["path"])
            self._changed.notify_all()
        return 204


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.open_sockets: set[socket.socket] = set()

    def close_all(self) -> None:
        for open_socket in list(self.open_sockets):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: tests break connections on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server_side: FakeCrossSeed
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open_sockets.add(self.connection)

    def finish(self) -> None:
        self.server.open_sockets.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""

    def _serve(self) -> None:
        fake = self.server_side
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        fault = fake.take(call)
        try:
            if fault == HANG:
                fake.released.wait()
                self.close_connection = True
            elif fault == RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
            elif fault == GARBAGE:
                self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
                self.close_connection = True
            else:
                self._answer(fault if isinstance(fault, int) else fake.status(self.command, call))
        finally:
            fake.done()

    def _answer(self, status: int) -> None:
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"/elsewhere?apikey={self.server_side.key}")
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()
