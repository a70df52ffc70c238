"""Server-sent events: the status after each cycle. A slow listener misses some, and never holds memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from qguardarr.api.problems import Problem, encoded
from qguardarr.api.recent_rates import RateMemory
from qguardarr.engine.status import Status

MOST_LISTENERS: Final = 20
KEEPALIVE_S: Final = 15.0
"""A comment is sent after this time without a cycle, so that proxies keep the connection."""
RETRY_MS: Final = 3000


class Events:
    """All listeners. `tick`, `end_streams` and `close` may come from any thread."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self.rates = RateMemory()
        self._status = status
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: set[asyncio.Event] = set()
        self._closed = False
        self._epoch = 0
        self._ticks = 0
        self._encoded: tuple[int, bytes] = (-1, b"")
        """The newest event and its tick, for all listeners; empty while nobody listens."""

    def tick(self) -> None:
        """Send the new status to all listeners."""
        self._ticks += 1
        loop = self._loop
        if loop is not None and self._listeners:
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                loop.call_soon_threadsafe(self._wake)

    def end_streams(self) -> None:
        """End the open streams; listeners connect again."""
        self._epoch += 1
        self.tick()

    def close(self) -> None:
        """End all streams, for good."""
        self._closed = True
        self.end_streams()

    def stream(self, may_listen: Callable[[], bool]) -> Response:
        """Return an endless answer. `Problem` 503 if too many listen. Called in the loop.

        It ends before the next event or sign of life once `may_listen` says no: at a logout, for example.
        """
        if len(self._listeners) >= MOST_LISTENERS:
            raise Problem(503, f"{MOST_LISTENERS} listen already", type="/problems/busy", headers={"Retry-After": "10"})
        self._loop = asyncio.get_running_loop()
        fresh = asyncio.Event()
        self._listeners.add(fresh)
        return _Stream(self._statuses(fresh, may_listen), lambda: self._leave(fresh))

    async def _statuses(self, fresh: asyncio.Event, may_listen: Callable[[], bool]) -> AsyncIterator[bytes]:
        epoch = self._epoch
        yield b"retry: %d\n\n" % RETRY_MS
        next_line = self._event()
        while not self._closed and epoch == self._epoch and may_listen():
            yield next_line
            try:
                await asyncio.wait_for(fresh.wait(), KEEPALIVE_S)
            except TimeoutError:
                next_line = b": still here\n\n"
                continue
            fresh.clear()
            next_line = self._event()

    def _event(self) -> bytes:
        """Return the newest event. It is encoded once, however many listen."""
        ticks = self._ticks
        if self._encoded[0] != ticks:
            status = self._status()
            self._encoded = (ticks, b"id: %d\nevent: status\ndata: %s\n\n" % (status.cycle, encoded(status)))
        return self._encoded[1]

    def _leave(self, fresh: asyncio.Event) -> None:
        self._listeners.discard(fresh)
        if not self._listeners:
            self._encoded = (-1, b"")

    def _wake(self) -> None:
        for fresh in self._listeners:
            fresh.set()


class _Stream(StreamingResponse):
    """Call `over` at the end, even if nothing was ever sent."""

    def __init__(self, statuses: AsyncIterator[bytes], over: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(statuses, media_type="text/event-stream", headers=headers)
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()
