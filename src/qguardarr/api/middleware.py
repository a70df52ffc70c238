"""What holds for every request and every answer: bounds on bodies, and headers that keep browsers careful."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from qguardarr.api.problems import Problem, response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES: Final = 64 * 1024
BODY_TIMEOUT_S: Final = 10.0
PIECE_BYTES: Final = 16 * 1024
"""Of an answer, this much is handed on at a time, and the next when that has been taken. Else a copy of the rest would
be kept for each connection that asks for much and reads nothing."""
COOKIES: Final = "qguardarr.cookies"
"""Key of the scope: values of `Set-Cookie` that go along with the answer."""

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_MOST_DIGITS: Final = 19
_CLOSE: Final = {"Connection": "close"}
"""So that the rest of a body that nobody wants is not read."""


class Headers:
    """Adds headers that an answer does not have itself, and the cookies that `security` left in the scope. Hands the
    body on in pieces."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cookies: list[str] = []
        scope[COOKIES] = cookies

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                present = {name.lower() for name, _ in headers}
                headers += [header for header in _HEADERS if header[0] not in present]
                headers += [(b"set-cookie", cookie.encode("latin-1")) for cookie in cookies]
                message = {**message, "headers": headers}
            whole = message.get("body", b"")
            if len(whole) <= PIECE_BYTES:
                await send(message)
                return
            for start in range(0, len(whole), PIECE_BYTES):
                more = start + PIECE_BYTES < len(whole) or message.get("more_body", False)
                await send({**message, "body": whole[start : start + PIECE_BYTES], "more_body": more})

        await self._app(scope, receive, send_with_headers)


class BodyBound:
    """Ends requests whose body is too large (413, with a length or chunked) or too slow to arrive (408)."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES, timeout_s: float = BODY_TIMEOUT_S) -> None:
        """`timeout_s` runs from when the body is first asked for until it has arrived whole."""
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _announced(scope) > self._max_bytes:
            await response(_too_large(self._max_bytes), scope["path"])(scope, receive, send)
            return
        body = _Body(receive, send, self._max_bytes, self._timeout_s)
        try:
            await self._app(scope, body.receive, body.send)
        except Problem as problem:
            if problem is not body.verdict or body.answered:
                raise
            await response(problem, scope["path"])(scope, receive, send)


class _Body:
    """One request's body on its way in."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int, timeout_s: float) -> None:
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._deadline: float | None = None
        self._size = 0
        self._whole = False
        self.answered = False
        self.verdict: Problem | None = None

    async def send(self, message: Message) -> None:
        self.answered = True
        await self._send(message)

    async def receive(self) -> Message:
        """The next part. What comes after the last, a disconnect, may be waited for as long as one likes."""
        if self._whole:
            return await self._receive()
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            return self._end(
                Problem(408, "the body did not arrive in time", type="/problems/body-timeout", headers=_CLOSE)
            )
        self._size += len(message.get("body", b""))
        if self._size > self._max_bytes:
            return self._end(_too_large(self._max_bytes))
        self._whole = not message.get("more_body", False)
        return message

    def _end(self, verdict: Problem) -> Message:
        """It is too late for another answer once one has begun: then the client counts as gone."""
        if self.answered:
            return {"type": "http.disconnect"}
        self.verdict = verdict
        raise verdict


def _announced(scope: Scope) -> int:
    """Bytes that the body is said to have, as far as it matters; 0 if nothing is said."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length" and value.isdigit()]
    return max((int(value) if len(value) < _MOST_DIGITS else sys.maxsize for value in lengths), default=0)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, f"the body is larger than {max_bytes} bytes", type="/problems/too-large", headers=_CLOSE)
