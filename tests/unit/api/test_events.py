"""The stream of events: each picture is encoded once, however many listen."""

from __future__ import annotations

import asyncio

from qguardarr.api.events import Events
from qguardarr.engine.status import Status
from tests.support.samples import status


def test_a_picture_is_encoded_once_for_all_listeners() -> None:
    looks: list[int] = []

    def look() -> Status:
        looks.append(1)
        return status(cycle=len(looks))

    async def run() -> None:
        events = Events(look)
        streams = [events.stream() for _ in range(10)]
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
        for stream in streams:
            stream._over()  # type: ignore[attr-defined]
        assert events._encoded[1] == b"", "nothing is kept when nobody listens"

    asyncio.run(run())
