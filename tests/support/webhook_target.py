"""Something for webhooks to call, on 127.0.0.1."""

from __future__ import annotations

import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

PATIENCE_S = 90.0
"""libtorrent tries a peer again after a minute."""


class Received(NamedTuple):
    path: str
    """With the query."""
    body: str
    headers: Any


class WebhookTarget:
    """Takes every POST, and hands them out in order."""

    def __init__(self) -> None:
        received: queue.Queue[Received] = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()
                received.put(Received(self.path, body, self.headers))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base class's name
                """No noise."""

        self._received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> Received:
        """The next request."""
        return self._received.get(timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
