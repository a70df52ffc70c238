"""HTTP as uvicorn speaks it, with bounds on what its parser would otherwise gather without end.

The parser keeps request line, header fields, chunk extensions and trailers for as long as they go on, and waits for
them for as long as it takes. Bodies are bounded by `middleware.BodyBound`.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from qguardarr.api.problems import INVALID, Problem, response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

MAX_HEAD_BYTES: Final = 32 * 1024
HEAD_TIMEOUT_S: Final = 10.0


class BoundedProtocol(HttpToolsProtocol):
    """Ends connections that send more than `max_head_bytes` beside the body of a request, or whose next request does
    not begin in time; and, when there are too many, the one that has been idle the longest. For uvicorn's `http`."""

    max_head_bytes = MAX_HEAD_BYTES
    head_timeout_s = HEAD_TIMEOUT_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._beside_body = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._most_connections, self.limit_concurrency = self.limit_concurrency, None  # whose answer is plain text
        self._usual_app = self.app
        self.idle_since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets this only on sockets whose protocol number is spelled out, which those of create_server lack; a
        # head and a body that are written one after the other would take 40 ms on a connection that is used again.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._expect_head()
        if self._crowded():
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._beside_body += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._beside_body > self.max_head_bytes:
            self._refuse()
        elif self.is_idle():
            self._expect_head()

    def on_body(self, body: bytes) -> None:
        self._beside_body = max(0, self._beside_body - len(body))
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._head_arrived()
        self.app = _too_many if self._crowded() else self._usual_app
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._beside_body = 0
        self.idle_since = self.loop.time()
        super().on_message_complete()

    def is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """In the form of all other errors."""
        answer = response(Problem(400, msg, type=INVALID), None)
        head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%sconnection: close\r\n\r\n%s" % (head, bytes(answer.body)))
        self.transport.close()

    def _crowded(self) -> bool:
        return self._most_connections is not None and len(self.connections) >= self._most_connections

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.close)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _make_room(self) -> None:
        """Else who opens connections, and says nothing, would keep everybody out."""
        others = (other for other in self.connections if isinstance(other, BoundedProtocol) and other is not self)
        idle = [other for other in others if other.is_idle() and not other.transport.is_closing()]
        if idle:
            min(idle, key=lambda other: other.idle_since).transport.abort()

    def _refuse(self) -> None:
        if self.is_idle():
            self.send_400_response("The request's head is too large.")
        else:
            self.transport.abort()


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Connection": "close", "Retry-After": "1"}
    problem = Problem(503, "there are too many connections", type="/problems/busy", headers=headers)
    await response(problem, scope["path"])(scope, receive, send)
