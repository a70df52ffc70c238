"""Rules for every request and answer: bounds on bodies, and headers that keep browsers careful."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from qguardarr.api.problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES: Final = 64 * 1024
BODY_TIMEOUT_S: Final = 10.0
PIECE_BYTES: Final = 8 * 1024
"""An answer is handed on in pieces of this size, each when the one before has been taken.

A client that asks for much and reads nothing keeps some of them, and what a task takes: 24 KiB in all (199 clients of
a script of /docs; × ½: 22, × 2: 40). 1.6 MB take 5 ms (× ½: 8, × 2: 4)."""
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
"""The rest of a refused body is not read."""


class Headers:
    """Add the headers that an answer lacks, and the cookies that `security` left in the scope; send it in pieces."""

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
    """Raise `Problem` in whoever reads a body that is too large (413, with a length or chunked) or too slow (408)."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES, timeout_s: float = BODY_TIMEOUT_S) -> None:
        """`timeout_s` runs from the first read until the body has arrived whole."""
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size, whole, deadline = 0, False, None

        async def bounded() -> Message:
            nonlocal size, whole, deadline
            if whole:  # next comes a disconnect, for which an event stream waits without bound
                return await receive()
            deadline = deadline or asyncio.get_running_loop().time() + self._timeout_s
            if _announced(scope) <= self._max_bytes:
                try:
                    async with asyncio.timeout_at(deadline):
                        message = await receive()
                except TimeoutError:
                    kind = "/problems/body-timeout"
                    raise Problem(408, "the body did not arrive in time", type=kind, headers=_CLOSE) from None
                size += len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if size <= self._max_bytes:
                    return message
            detail = f"the body is larger than {self._max_bytes} bytes"
            raise Problem(413, detail, type="/problems/too-large", headers=_CLOSE)

        await self._app(scope, bounded, send)


def _announced(scope: Scope) -> int:
    """Return the length that a request gives for its body, cut to 19 digits; 0 if it gives none."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length" and value.isdigit()]
    return max((int(value[:_MOST_DIGITS]) for value in lengths), default=0)
