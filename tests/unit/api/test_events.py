"""The stream of events: each picture is encoded once, however many listen."""

from __future__ import annotations

import asyncio

import pytest
from starlette.responses import Response
from starlette.types import Message

from qguardarr.api.events import Events
from qguardarr.engine.status import Status
from tests.support.samples import status


async def hang_up(stream: Response) -> None:
    """Serve it to a client that has gone."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    await stream({"type": "http"}, receive, send)


def test_a_picture_is_encoded_once_for_all_listeners() -> None:
    looks: list[int] = []

    def look() -> Status:
        looks.append(1)
        return status(cycle=len(looks))

    async def run() -> None:
        events = Events(look)
        streams = [events.stream(lambda: True) for _ in range(10)]
        bodies = [stream.body_iterator for stream in streams]  # type: ignore[attr-defined]
        for body in bodies:
            assert await anext(body) == b"retry: 3000\n\n"
        first = [await anext(body) for body in bodies]
        assert len(looks) == 1
        assert all(one is first[0] for one in first)
        events.tick()
        second = [await anext(body) for body in bodies]
        assert len(looks) == 2
        assert all(one is second[0] for one in second)
        assert second[0].startswith(b"id: 2\nevent: status\n")
        await asyncio.gather(*map(hang_up, streams))
        late = events.stream(lambda: True).body_iterator  # type: ignore[attr-defined]
        await anext(late)
        assert (await anext(late)).startswith(b"id: 3\n"), "nothing was kept while nobody listened"

    asyncio.run(run())


def test_a_stream_ends_with_the_permission_to_listen() -> None:
    """Regression: it went on after a logout, for as long as the connection lasted."""
    allowed = True

    async def run() -> None:
        nonlocal allowed
        events = Events(lambda: status(cycle=1))
        body = events.stream(lambda: allowed).body_iterator  # type: ignore[attr-defined]
        assert [await anext(body), (await anext(body))[:5]] == [b"retry: 3000\n\n", b"id: 1"]
        allowed = False
        events.tick()
        assert [line async for line in body] == []

    asyncio.run(run())


def test_a_sign_of_life_is_no_less_than_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qguardarr.api.events.KEEPALIVE_S", 0.01)
    answers = [True, True, True, False]

    async def run() -> None:
        body = Events(lambda: status(cycle=1)).stream(lambda: answers.pop(0)).body_iterator  # type: ignore[attr-defined]
        lines = [line async for line in body]
        assert lines[2:] == [b": still here\n\n"] * 2

    asyncio.run(run())
