"""uvicorn's HTTP/1.1 protocol, with the bounds that it lacks.

Uvicorn bounds connections, idle time between requests, and shutdown. `BodyBound` bounds bodies, and the kernel ends
connections of clients that stop reading (`server.UNREAD_TIMEOUT_S`). Uvicorn by itself fails in three attacks that
need no key, measured on a running daemon:

- A head without end is kept in memory while it comes: 36 MB sent, 31 MB more resident.
- 250 connections that send nothing, or half a head, are kept without end, and everybody else gets 503.
- Requests sent ahead of their answers are all taken up: 15,000 of them held the webhook up for 4 s.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from qguardarr.api.problems import INVALID, Problem, response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

MAX_HEAD_BYTES: Final = 32 * 1024
HEAD_TIMEOUT_S: Final = 10.0
MOST_AHEAD: Final = 16
"""Requests on one connection that wait for the answers to those before."""


class BoundedProtocol(HttpToolsProtocol):
    """End connections that send more than `max_head_bytes` beside a body, or whose next head takes too long.

    When there are too many connections, the one that has been idle the longest makes room; without an idle one, the one
    whose client has not read for the longest.
    """

    max_head_bytes = MAX_HEAD_BYTES
    head_timeout_s = HEAD_TIMEOUT_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._beside_body = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_last = False
        self._most_connections, self.limit_concurrency = self.limit_concurrency, None  # whose answer is plain text
        self._usual_app = self.app
        self.since = self.loop.time()
        """Time at which it became idle, or its client stopped reading."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # otherwise 64 KiB for each connection
        self._expect_head()
        if self._crowded():
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self.since = self.loop.time()
        super().pause_writing()

    def data_received(self, data: bytes) -> None:
        if self._is_last:
            return
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
        if len(self.pipeline) >= MOST_AHEAD:  # the client sends the rest again on another connection
            self._is_last, self.cycle.keep_alive = True, False
            raise ValueError("too many requests are sent ahead")  # the parser stops
        self.app = _too_many if self._crowded() else self._usual_app
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._beside_body = 0
        self.since = self.loop.time()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer in the form of all other errors."""
        if self._is_last:
            return
        answer = response(Problem(400, msg, type=INVALID), None)
        head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%sconnection: close\r\n\r\n%s" % (head, bytes(answer.body)))
        self.transport.close()

    def is_idle(self) -> bool:
        """Return whether no request is at work."""
        return self.cycle is None or self.cycle.response_complete

    def _crowded(self) -> bool:
        return self._most_connections is not None and len(self.connections) >= self._most_connections

    def _make_room(self) -> None:
        """End spare connections, which would keep everybody else out."""
        present = [c for c in self.connections if isinstance(c, BoundedProtocol) and not c.transport.is_closing()]
        spare = [c for c in present if c is not self and (c.is_idle() or c.flow.write_paused)]
        excess = len(present) + 1 - (self._most_connections or 0)
        for connection in sorted(spare, key=lambda c: (c.flow.write_paused, c.since))[:excess]:
            connection.transport.abort()

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.close)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self) -> None:
        if self.is_idle():
            self.send_400_response("The request's head is too large.")
        else:
            self.transport.abort()


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Connection": "close", "Retry-After": "1"}
    problem = Problem(503, "there are too many connections", type="/problems/busy", headers=headers)
    await response(problem, scope["path"])(scope, receive, send)
