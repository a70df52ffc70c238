"""HTTP as uvicorn speaks it, with bounds on what it would otherwise gather, or wait for, without end.

The parser keeps request line, header fields, chunk extensions and trailers for as long as they go on, waits for them
for as long as it takes, and keeps all requests that are sent ahead of their answers. Answers wait for whoever does not
read them. Bodies are bounded by `middleware.BodyBound`.
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
WRITE_TIMEOUT_S: Final = 30.0
"""A client that takes nothing of an answer for so long is cut off. A slow one takes a little."""
STUCK_S: Final = 5.0
"""One that has not taken all for so long makes room for others."""
MOST_AHEAD: Final = 16
"""Requests on one connection that wait for the answers to those before."""
UNSENT_BYTES: Final = 16 * 1024
"""What the kernel takes of answers beside what is on its way. Else it takes megabytes, and who does not read is not
noticed for as long as those last."""

_IDLE, _STUCK, _AT_WORK = range(3)


class BoundedProtocol(HttpToolsProtocol):
    """Ends connections that send more than `max_head_bytes` beside the body of a request, whose next request does not
    begin in time, or that do not read; and, when there are too many, the one that has been idle the longest, or else
    has not read for the longest. For uvicorn's `http`."""

    max_head_bytes = MAX_HEAD_BYTES
    head_timeout_s = HEAD_TIMEOUT_S
    write_timeout_s = WRITE_TIMEOUT_S
    stuck_s = STUCK_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._beside_body = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._unwritten_since: float | None = None
        self._is_last = False
        self.dropped = False
        self._most_connections, self.limit_concurrency = self.limit_concurrency, None  # whose answer is plain text
        self._usual_app = self.app
        self.idle_since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets this only on sockets whose protocol number is spelled out, which those of create_server lack; a
        # head and a body that are written one after the other would take 40 ms on a connection that is used again.
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        if self.client is not None:  # a socket for both families shows IPv4 as ::ffff:192.0.2.1; proxies are trusted by
            self.client = (self.client[0].removeprefix("::ffff:"), self.client[1])  # their usual names
        transport.set_write_buffer_limits(0)  # writing pauses as soon as the kernel takes no more
        self._expect_head()
        if self._crowded():
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._all_written()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unwritten_since = self.loop.time()
        self._expect_reading(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._all_written()
        super().resume_writing()

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
        self.idle_since = self.loop.time()
        super().on_message_complete()

    def is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def use(self) -> tuple[int, float]:
        """What it is good for, and since when, as numbers: the least use, and of such the first, are to be dropped."""
        if self._unwritten_since is None:
            spare = self.is_idle() and not self.transport.is_closing()
            return (_IDLE, self.idle_since) if spare else (_AT_WORK, 0.0)
        stuck = self.loop.time() - self._unwritten_since >= self.stuck_s
        return _STUCK if stuck else _AT_WORK, self._unwritten_since

    def drop(self) -> None:
        self.dropped = True
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """In the form of all other errors."""
        if self._is_last:
            return
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

    def _expect_reading(self, unwritten: int) -> None:
        self._write_timer = self.loop.call_later(self.write_timeout_s, self._end_if_unread, unwritten)

    def _end_if_unread(self, before: int) -> None:
        unwritten = self.transport.get_write_buffer_size()
        if unwritten < before:
            self._expect_reading(unwritten)
        else:
            self.transport.abort()

    def _all_written(self) -> None:
        self._unwritten_since = None
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _make_room(self) -> None:
        """Else who opens connections, and says nothing or does not read, would keep everybody out."""
        present = [other for other in self.connections if isinstance(other, BoundedProtocol) and not other.dropped]
        spare = sorted((*other.use(), number) for number, other in enumerate(present) if other is not self)
        for use, _, number in spare[: len(present) + 1 - (self._most_connections or 0)]:
            if use != _AT_WORK:
                present[number].drop()

    def _refuse(self) -> None:
        if self.is_idle():
            self.send_400_response("The request's head is too large.")
        else:
            self.transport.abort()


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Connection": "close", "Retry-After": "1"}
    problem = Problem(503, "there are too many connections", type="/problems/busy", headers=headers)
    await response(problem, scope["path"])(scope, receive, send)
