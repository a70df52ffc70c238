"""Headers of every answer, and bounds on bodies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from qguardarr.api.middleware import COOKIES, PIECE_BYTES, BodyBound, Headers
from tests.support.asgi import ask, echo, scope


async def deaf(scope_: Any, receive: Any, send: Any) -> None:
    await Response(b"done")(scope_, receive, send)


def test_every_answer_keeps_browsers_careful() -> None:
    answer = ask(Headers(echo), scope())
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "no-referrer"
    assert answer.header("x-frame-options") == "DENY"
    assert answer.header("content-security-policy") == "default-src 'none'; frame-ancestors 'none'"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "text/plain; charset=utf-8"


def test_an_answers_own_headers_stand() -> None:
    async def page(scope_: Any, receive: Any, send: Any) -> None:
        own = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=60"}
        await Response(b"", headers=own)(scope_, receive, send)

    answer = ask(Headers(page), scope())
    assert answer.header("content-security-policy") == "default-src 'self'"
    assert answer.header("cache-control") == "max-age=60"
    assert answer.header("x-frame-options") == "DENY"


def test_no_origin_is_ever_invited() -> None:
    preflight = scope(
        "OPTIONS", headers=[("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")]
    )
    assert not [name for name, _ in ask(Headers(BodyBound(echo)), preflight).headers if name.startswith("access-")]


def test_cookies_left_in_the_scope_are_sent_even_if_it_was_copied() -> None:
    async def copying(scope_: Any, receive: Any, send: Any) -> None:
        inner = dict(scope_)
        inner[COOKIES] += ["a=1; Path=/", "b=2"]
        await deaf(inner, receive, send)

    assert ask(Headers(copying), scope()).all_of("set-cookie") == ["a=1; Path=/", "b=2"]


def test_the_lifespan_passes_untouched() -> None:
    seen: list[Any] = []

    async def app(scope_: Any, receive: Any, send: Any) -> None:
        seen.append((scope_, receive, send))

    lifespan, receive, send = {"type": "lifespan"}, object(), object()
    asyncio.run(Headers(BodyBound(app))(lifespan, receive, send))  # type: ignore[arg-type]
    assert seen == [(lifespan, receive, send)]
    assert lifespan == {"type": "lifespan"}


@given(parts=st.lists(st.binary(max_size=40), max_size=6))
def test_a_body_passes_whole_or_not_at_all(parts: list[bytes]) -> None:
    size = sum(map(len, parts))
    answer = ask(BodyBound(echo, max_bytes=64), scope("POST"), *parts)
    if size <= 64:
        assert (answer.status, answer.body) == (200, b"".join(parts))
    else:
        assert (answer.status, answer.json()["type"]) == (413, "/problems/too-large")


@pytest.mark.parametrize("length", ["65", "9" * 5000])
def test_a_length_beyond_the_bound_is_refused_unread(length: str) -> None:
    answer = ask(BodyBound(echo, max_bytes=64), scope("POST", "/webhook", [("Content-Length", length)]), ends=False)
    assert answer.status == 413
    assert answer.header("connection") == "close", "the rest is not read"
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json() == {
        "title": answer.json()["title"],
        "status": 413,
        "type": "/problems/too-large",
        "detail": "the body is larger than 64 bytes",
        "instance": "/webhook",
    }


@pytest.mark.parametrize("length", ["64", "-1", "x", "", "１"])
def test_a_stated_length_is_not_relied_on(length: str) -> None:
    headers = [(b"Content-Length", length.encode())]
    assert ask(BodyBound(echo, max_bytes=64), scope("POST", headers=headers), b"x" * 64).status == 200
    assert ask(BodyBound(echo, max_bytes=64), scope("POST", headers=headers), b"x" * 65).status == 413


def test_a_body_that_does_not_arrive_is_not_waited_for() -> None:
    answer = ask(BodyBound(echo, timeout_s=0.001), scope("POST"), b"half", ends=False)
    assert (answer.status, answer.json()["type"]) == (408, "/problems/body-timeout")
    assert answer.header("connection") == "close"


def test_the_end_of_a_client_may_be_waited_for_longer_than_a_body() -> None:
    """Event streams do."""
    told: list[str] = []
    really_gone: list[bool] = []

    async def stream(scope_: Any, receive: Any, send: Any) -> None:
        await Request(scope_, receive, send).body()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        told.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        gone = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, gone.set)
        first = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if first:
                return first.pop()
            await gone.wait()
            really_gone.append(True)
            return {"type": "http.disconnect"}

        async def send(_message: Any) -> None:
            pass

        await BodyBound(stream, timeout_s=0.001)(scope(), receive, send)

    asyncio.run(run())
    assert told == ["http.disconnect"]
    assert really_gone == [True]


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES])
def test_an_answer_is_handed_on_in_pieces(size: int) -> None:
    body, sent = bytes(range(256)) * (size // 256) + b"x" * (size % 256), list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    asyncio.run(Headers(Response(body))(scope(), receive, send))
    pieces = sent[1:]
    assert b"".join(piece["body"] for piece in pieces) == body
    assert max(len(piece["body"]) for piece in pieces) <= PIECE_BYTES
    more = [piece.get("more_body", False) for piece in pieces]
    assert more == [True] * (len(pieces) - 1) + [False]
